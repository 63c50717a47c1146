"""A JSON file of ours is read in full, or refused in one line that names it."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from birdcore.json_file import read_json


class Nest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    eggs: int
    twigs: tuple[str, ...] = ()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    nest = Nest(eggs=3, twigs=("oak", "ä"))
    (tmp_path / "nest.json").write_text(nest.model_dump_json(), encoding="utf-8")
    assert read_json(tmp_path / "nest.json", Nest, "nest") == nest


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "nest.json describes no nest: Invalid JSON"),
        (b'{"eggs": 3', "nest.json describes no nest: Invalid JSON"),
        (b"\xff\xfe", "nest.json describes no nest: Invalid JSON"),
        (b"[]", "nest.json describes no nest: Input should be an object"),
        (b"{}", "nest.json describes no nest: eggs: Field required"),
        (b'{"eggs": "many", "twigs": 3}', r"eggs: Input should be .* \(and 1 more\)"),
        (b'{"eggs": 3, "snake": 1}', "nest.json describes no nest: snake: Extra inputs"),
    ],
)
def test_what_is_damaged_is_told_in_a_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "nest.json").write_bytes(content)
    with pytest.raises(ValueError, match=says) as refused:
        read_json(tmp_path / "nest.json", Nest, "nest")
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nest.json"
    with pytest.raises(ValueError, match=f"{tmp_path} holds no nest: there is no nest.json in it"):
        read_json(path, Nest, "nest")
    path.mkdir()
    with pytest.raises(ValueError, match=r"nest\.json can't be read: Is a directory"):
        read_json(path, Nest, "nest")
