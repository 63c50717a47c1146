import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.store.artifact import MANIFEST, Ref
from birdcore.store.manifest import (
    ManifestError,
    parse_manifest,
    read_manifest,
    whole,
    write_manifest,
)

REF = Ref("mel", "a" * 64)
FILE = {"name": "sub/one.npy", "bytes": 3, "sha256": "0" * 64}
GOOD: dict[str, Any] = {
    "stage": "mel",
    "version": 1,
    "key": "a" * 64,
    "name": "mel train_audio/0000",
    "config": {"n_mels": 128},
    "inputs": {"clean": ["clean/" + "b" * 64]},
    "sources": {"train_audio/a.ogg": "1" * 64},
    "files": [FILE],
    "metrics": {"rows": 2, "auc": float("nan")},
    "made_at": "2026-11-28T00:00:00+00:00",
    "took_s": 1.5,
}


def parsed(**other: object) -> Any:
    return parse_manifest(json.dumps(GOOD | other).encode(), REF)


def of_file(**other: object) -> Any:
    return parsed(files=[FILE | other])


def test_manifest_of_an_earlier_version_is_read() -> None:
    earlier = {k: v for k, v in GOOD.items() if k != "metrics"} | {"facts": {"rows": 2}}
    assert parse_manifest(json.dumps(earlier).encode(), REF) == parsed(metrics={"rows": 2})


def test_written_manifest_is_read_back(tmp_path: Path) -> None:
    manifest = parsed(metrics={"rows": 2})
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path, REF) == manifest
    assert whole(tmp_path, REF) is None
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.npy").write_bytes(b"abc")
    assert whole(tmp_path, REF) == manifest


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/etc/passwd", "//a", "a//b", "a/", ".", "..", "../a", "a/../../b", "a/..", "./a",
        "a\0b", "a\\b", "..\\..\\a", "C:a", "c:/a", "a\nb", "a\x1b[2J", "a\u202eb", "a\x7f",
        "manifest.json", "a" * 256, "é" * 128, "/".join(["a" * 200] * 6), "~/../../a",
    ],
)  # fmt: skip
def test_unsafe_file_names_are_refused(name: str) -> None:
    with pytest.raises(ManifestError, match="refused: a file"):
        of_file(name=name)


@pytest.mark.parametrize("name", ["a", "sub/manifest.json", "…/ä b.npy", "...", "-rf", "ab:c"])
def test_ordinary_file_names_are_accepted(name: str) -> None:
    assert of_file(name=name).files[0].name == name


@pytest.mark.parametrize(
    "sha256", ["", "0" * 63, "0" * 65, "A" * 64, "../" * 21 + "0", "g" * 64, "0" * 64 + "\n"]
)
def test_invalid_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(ManifestError, match="no sha256"):
        of_file(sha256=sha256)


@pytest.mark.parametrize("size", [-1, 1 << 60, 10**30, True, 3.0, "3", None, [3]])
def test_impossible_size_is_refused(size: object) -> None:
    with pytest.raises(ManifestError):
        of_file(bytes=size)


@pytest.mark.parametrize(
    "other",
    [
        {"files": [FILE, FILE]},
        {"files": [FILE, FILE | {"name": "sub"}]},
        {"stage": "train"},
        {"key": "b" * 64},
        {"key": "../" + "a" * 61},
        {"inputs": {"clean": ["../../etc/" + "b" * 64]}},
        {"inputs": {"clean": ["clean"]}},
        {"inputs": {"clean": ["clean/../../x"]}},
        {"inputs": {"clean": "clean/b"}},
        {"files": {}},
        {"files": [[]]},
        {"files": None},
        {"metrics": []},
        {"config": 3},
        {"version": "1"},
        {"version": True},
        {"took_s": "long"},
        {"made_at": 3},
        {"name": "\ud800"},
    ],
)
def test_wrong_types_and_other_artifacts_are_refused(
    other: dict[str, object],
) -> None:
    with pytest.raises(ManifestError, match=r"^the manifest of mel/aaaaaaaaaaaa "):
        parsed(**other)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b'"a"', b"\xff\xfe", b"[" * 100_000,
        b'{"a":' * 100_000, b'{"version": ' + b"9" * 10_000 + b"}", b"{}",
        json.dumps(GOOD).encode()[:-1] + b',"config":' + b"[" * 9999 + b"]" * 9999 + b"}",
    ],
)  # fmt: skip
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestError, match="can't be read"):
        parse_manifest(content, REF)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*GOOD, *FILE]), inner, max_size=5),
    max_leaves=12,
))  # fmt: skip
def test_parse_manifest_handles_any_json(value: object) -> None:
    changed = GOOD | value if isinstance(value, dict) else value
    with contextlib.suppress(ManifestError):
        parse_manifest(json.dumps(changed).encode(), REF)


def test_write_manifest_refuses_invalid_manifests(tmp_path: Path) -> None:
    (tmp_path / "ok").mkdir()
    manifest = parsed()
    object.__setattr__(manifest.files[0], "name", "../a")
    with pytest.raises(ManifestError):
        write_manifest(manifest, tmp_path / "ok")
    assert not list((tmp_path / "ok").iterdir())


def test_whole_ignores_linked_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_manifest(parsed(), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.npy").write_bytes(b"abc")
    (tmp_path / "a" / "sub").symlink_to(tmp_path / "b")
    assert whole(tmp_path / "a", REF) is None
    (tmp_path / "a" / "sub").unlink()
    (tmp_path / "a" / "sub").mkdir()
    (tmp_path / "a" / "sub" / "one.npy").symlink_to(tmp_path / "b" / "one.npy")
    assert whole(tmp_path / "a", REF) is None


def test_whole_ignores_a_linked_manifest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_manifest(parsed(files=[]), tmp_path)
    (tmp_path / "a" / MANIFEST).symlink_to(tmp_path / MANIFEST)
    assert whole(tmp_path, REF) is not None
    assert whole(tmp_path / "a", REF) is None


@pytest.mark.parametrize("name", ["..", "../x/y", "/etc/passwd", "mel", "mel/", "mel/a/b", "a\0/b"])
def test_ref_refuses_unsafe_names(name: str) -> None:
    with pytest.raises(ValueError, match="no name of an artifact"):
        Ref.named(name)
