"""What a command imports: nobody waits seconds for torch who only wants to see a plan."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchaudio", "timm", "sklearn", "matplotlib", "prefect")
SCRIPT = """
import sys
from flows.cli import main
try:
    main(sys.argv[2:])
except SystemExit:
    pass
print("IMPORTED", *sorted(set(sys.argv[1].split(",")) & sys.modules.keys()))
"""


def heavy_imports(*arguments: str | Path) -> set[str]:
    """The heavy packages that a `birdflow` command has imported when it ends."""
    command = [sys.executable, "-c", SCRIPT, ",".join(HEAVY), *map(str, arguments)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(said.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", [("--help",), ("status",), ("store", "ls")])
def test_small_commands_import_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    rest = () if arguments == ("--help",) else ("--store", str(tmp_path))
    assert heavy_imports(*arguments, *rest) == set()


def test_plan_imports_nothing_heavy_and_makes_nothing(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert heavy_imports("plan", tiny_recipe, "--data", tiny_data, "--store", store) == set()
    assert not store.exists()


def test_flow_imports_torch_only_where_a_step_does() -> None:
    code = "import sys, flows.pipeline; sys.exit(bool({'torch', 'timm'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_scoring_needs_no_torch(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("row_id,a\nx_5,1\nx_10,0\n")
    light = heavy_imports("score", table, table, "--threshold", "0.5", "--protocol", "birdset")
    assert light == set()
