"""What is found in a folder of recordings, and that nothing is passed over without a word."""

import errno
import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.csv_table import Problem
from birdcore.sources.listing import list_audio

KIND = "test_soundscapes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    below = tmp_path / KIND
    below.mkdir()
    return below


def passed_over(root: Path) -> dict[str, str]:
    return {p.where.removeprefix(f"{KIND}/"): p.problem for p in list_audio(root, KIND).passed_over}


def audio(root: Path) -> list[str]:
    return [name.removeprefix(f"{KIND}/") for name in list_audio(root, KIND).audio]


def test_suffixes_are_told_and_tables_and_notes_are_not(tmp_path: Path, folder: Path) -> None:
    for name in ("a.OGG", "b.m4a", "c.xyz", "d", "e.wav.part", "f.Mp3", "readme.txt", "README",
                 "labels.csv", ".DS_Store", "._a.OGG", "Thumbs.db"):  # fmt: skip
        (folder / name).write_text("x")
    assert audio(tmp_path) == ["a.OGG", "b.m4a", "f.Mp3"]
    unknown = "suffix of no known audio"
    assert passed_over(tmp_path) == {"c.xyz": unknown, "d": unknown, "e.wav.part": unknown}


def test_hidden_recordings_are_told(tmp_path: Path, folder: Path) -> None:
    (folder / ".secret").mkdir()
    (folder / ".secret" / "a.ogg").touch()
    (folder / ".b.flac").touch()
    assert audio(tmp_path) == []
    assert passed_over(tmp_path) == {".secret": "hidden folder", ".b.flac": "hidden file"}


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "disk" / "deep"
    other.mkdir(parents=True)
    (other / "a.wav").touch()
    for name in ("one", "two"):
        (folder / name).symlink_to(other.parent)
    (other / "up").symlink_to(folder)
    (other / "self").symlink_to(other / "self")
    assert audio(tmp_path) == ["one/deep/a.wav", "two/deep/a.wav"]
    found = passed_over(tmp_path)
    assert found["one/deep/up"] == "linked folder that leads back to one around it"
    assert found["one/deep/self"] == "file that can't be read"
    assert len(found) == 4


def test_the_kinds_own_folder_may_be_a_link_or_nonsense(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.wav").touch()
    (tmp_path / KIND).symlink_to(tmp_path / "elsewhere")
    assert audio(tmp_path) == ["a.wav"]
    (tmp_path / KIND).unlink()
    assert list_audio(tmp_path, KIND).passed_over == []
    (tmp_path / KIND).write_text("no folder")
    assert passed_over(tmp_path) == {KIND: "folder that can't be read"}
    (tmp_path / KIND).unlink()
    (tmp_path / KIND).symlink_to(tmp_path / "nowhere")
    assert passed_over(tmp_path) == {KIND: "link to what is not there"}


def test_pipes_sockets_and_links_to_nothing_are_told_and_never_opened(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "a.wav")
    (folder / "b.ogg").symlink_to(folder / "nothing.ogg")
    (folder / "c.ogg").symlink_to("/dev/zero")
    monkeypatch.chdir(folder)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("d.flac")
        assert audio(tmp_path) == []
        assert passed_over(tmp_path) == {
            "a.wav": "neither file nor folder",
            "b.ogg": "link to what is not there",
            "c.ogg": "neither file nor folder",
            "d.flac": "neither file nor folder",
        }


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_folder_that_can_not_be_read_is_told(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (folder / "locked").mkdir()
    (folder / "open.ogg").touch()
    scandir: Callable[..., object] = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise OSError(number, os.strerror(number))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert audio(tmp_path) == ["open.ogg"]
    (problem,) = list_audio(tmp_path, KIND).passed_over
    where = f"{KIND}/locked"
    assert problem == Problem("folder that can't be read", where, os.strerror(number))


def test_names_are_in_one_form_and_files_that_differ_in_it_alone_are_told(
    tmp_path: Path, folder: Path
) -> None:
    nfd = unicodedata.normalize("NFD", "Zaunkönig.ogg")
    (folder / nfd).touch()
    listing = list_audio(tmp_path, KIND)
    assert listing.audio == {f"{KIND}/Zaunkönig.ogg": folder / nfd}
    (folder / "Zaunkönig.ogg").touch()
    listing = list_audio(tmp_path, KIND)
    assert listing.audio == {f"{KIND}/Zaunkönig.ogg": folder / "Zaunkönig.ogg"}
    (problem,) = listing.passed_over
    assert (problem.problem, problem.where) == (
        "name that is there in another form",
        f"{KIND}/{nfd}",
    )


def test_a_name_that_is_not_utf8_is_a_problem_of_that_file_alone(
    tmp_path: Path, folder: Path
) -> None:
    (folder / "good.ogg").touch()
    for name in (b"B\xe4r.ogg", b"\xff\xfe.wav"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    assert audio(tmp_path) == ["good.ogg"]
    names = dict.fromkeys((r"B\xe4r.ogg", r"\xff\xfe.wav"), "name that is not UTF-8")
    assert passed_over(tmp_path) == names
