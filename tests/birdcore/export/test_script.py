"""The modules of the kit make one file that stands alone."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from birdcore.export.script import FIRST, KIT, PARTS, predict_script

ROOT = Path(__file__).parents[3]


def top_level_names(tree: ast.Module) -> Counter[str]:
    names: Counter[str] = Counter()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] += 1
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(
                each.id
                for target in targets
                for each in ast.walk(target)
                if isinstance(each, ast.Name)
            )
    return names


def test_script_has_all_of_the_kit_once_and_nothing_of_birdflow() -> None:
    script = predict_script()
    assert script == predict_script()
    files = {path.stem for path in KIT.glob("*.py")} - {"__init__", "notebook"}
    assert {FIRST, *PARTS} == files
    tree = ast.parse(script, feature_version=(3, 10))
    names = top_level_names(tree)
    assert [name for name, count in names.items() if count > 1] == []
    modules = [ast.parse((KIT / f"{name}.py").read_text()) for name in PARTS]
    assert names == sum(map(top_level_names, modules), Counter())
    nodes = list(ast.walk(tree))
    imported = {each.module.partition(".")[0] for each in nodes if isinstance(each, ast.ImportFrom)}
    imported |= {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    assert imported - sys.stdlib_module_names == {"numpy", "onnxruntime", "openvino", "soundfile"}


def test_script_is_written_as_a_module_is(tmp_path: Path) -> None:
    path = tmp_path / "predict.py"
    path.write_text(predict_script())
    for command in (("check",), ("format", "--check")):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache"]
        done = subprocess.run(
            [*ruff, "--config", ROOT / "pyproject.toml", path], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
