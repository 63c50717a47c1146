"""docs/python.md runs from top to bottom, and `import birdcore` is quick."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import birdcore

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "detections.csv").read_text().startswith("recording,start,end,class,")
    assert (tmp_path / "rows.csv").read_text().startswith("row_id,amered,bkcchi\nsoundscape_5,")


def test_import_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'torchaudio', 'pandas', 'pyarrow', 'scipy', 'prefect'}"
    code = f"import sys, birdcore; assert not {heavy} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", birdcore.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(birdcore)
    assert getattr(birdcore, name).__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod_model'"):
        birdcore.laod_model  # noqa: B018
