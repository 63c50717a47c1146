"""What the code imports is declared: else an upgrade of another package takes it away."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OURS = {
    "birdcore",
    "tasks",
    "flows",
    "deployments",
    "recipes",
    "benchmarks",
    "experiments",
    "tests",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imported(folder: str) -> dict[str, str]:
    """Each package that Python files below a folder import, and one of the files that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            found |= {name.split(".")[0]: str(path.relative_to(ROOT)) for name in names}
    return {name: path for name, path in found.items() if name not in OURS}


def declared(*extras: str) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    return {canonicalize_name(Requirement(text).name) for some in lists for text in some}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("birdcore", ("annotations", "birdnet")),
        ("tasks", ()),
        ("flows", ("dask", "ray")),
        ("benchmarks", ("birdnet",)),
        ("experiments", ("birdnet",)),
        ("tests", ("annotations", "birdnet", "dask", "dev")),
    ],
)
def test_each_imported_package_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    distributions = packages_distributions()
    lacking = {
        name: path
        for name, path in imported(folder).items()
        if name not in sys.stdlib_module_names
        and not {canonicalize_name(d) for d in distributions.get(name, [name])} & declared(*extras)
    }
    assert not lacking
