"""Damaged recordings and tables, a bounded number of them from a seed: nothing but a plain word.

Whatever a file holds, decoding gives samples or a reason, and reading a folder gives a catalogue or
names file and line. A process of its own decodes, so that a crash of a codec is seen as one and its
memory can be counted. BIRDFLOW_FUZZ_SEED and BIRDFLOW_FUZZ_CASES ask for other and more cases.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.csv_table import TableError
from birdcore.sources.birdclef import scan
from birdcore.stages import catalog
from birdcore.store.store import Store

SEED = int(os.environ.get("BIRDFLOW_FUZZ_SEED", "0"))
CASES = int(os.environ.get("BIRDFLOW_FUZZ_CASES", "400"))
A_FILE_S = 60
"""So long may no small file take: one that does hangs."""
MEMORY_MB = 1500
RATE = 16000
BY_FFMPEG = {
    "m4a": ("-c:a", "aac"),
    "webm": ("-c:a", "libopus"),
    "wv": ("-c:a", "wavpack"),
    "wma": ("-c:a", "wmav2"),
    "mp3": ("-c:a", "libmp3lame", "-write_xing", "0"),
}
WORDS = (b"\x00" * 4, b"\xff" * 4, b"\x80\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x01\x00\x00\x00")
DECODER = """
import faulthandler, json, signal, sys
from pathlib import Path
import numpy as np
from benchmarks.peak import peak_mb
from birdcore.audio.decode import Rejected, decode

faulthandler.enable()
for line in sys.stdin:
    signal.alarm(int(sys.argv[1]))
    try:
        audio = decode(Path(line.rstrip("\\n")))
        heard = 0
        for block in audio.blocks():
            assert block.dtype == np.float32 and block.ndim == 1 and len(block), block.shape
            assert np.isfinite(block).all()
            heard += len(block)
        assert heard == audio.frames >= 1, (heard, audio.frames)
        said = audio.problem
        assert said or not audio.truncated
    except Rejected as reason:
        said = str(reason)
        assert said.strip() and said.isprintable(), repr(said)
    signal.alarm(0)
    print(json.dumps([said, round(peak_mb())]), flush=True)
"""
CELLS = (
    "", "nan", "None", "[]", "['a' 'b']", "[[[[", "[{[]:1}]", "'", '"', "a,b", "a\nb", "\0", "=1+1",
    "../x", "/etc/passwd", "-1e999", "1e400", "٣", "é", "\u202e", "\ud800", "[" * 5000, "9" * 5000,
)  # fmt: skip


def test_any_bytes_are_a_recording_or_have_a_reason(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    sounds = _sounds(tmp_path)
    assert len(sounds) > 5
    with subprocess.Popen(
        [sys.executable, "-c", DECODER, str(A_FILE_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as decoder:
        assert decoder.stdin
        assert decoder.stdout
        outcomes = set()
        for case in range(CASES):
            sound = rng.choice(sounds)
            path = tmp_path / f"case{sound.suffix}"
            path.write_bytes(_damaged(sound.read_bytes(), rng, rng.choice(sounds).read_bytes()))
            decoder.stdin.write(f"{path}\n")
            decoder.stdin.flush()
            answer = decoder.stdout.readline()
            if not answer:
                kept = shutil.copy(path, f"{path}.{case}")
                pytest.fail(f"case {case} of seed {SEED} ended the decoder: {kept}")
            said, megabytes = json.loads(answer)
            assert megabytes < MEMORY_MB, f"case {case} of seed {SEED}: {megabytes} MB"
            outcomes.add(bool(said))
        decoder.stdin.close()
    assert outcomes == {True, False}  # some are whole still, some are not: the damage is of use


def test_any_table_is_read_or_refused_with_its_place(tiny_data: Path, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    names = [name for name in ("train.csv", "taxonomy.csv", "sample_submission.csv")
             if (tiny_data / name).is_file()]  # fmt: skip
    store, root, read = Store(tmp_path / "store"), tmp_path / "data", 0
    shutil.copytree(tiny_data, root)
    for case in range(CASES // 2):
        name = rng.choice(names)
        content = (tiny_data / name).read_bytes()
        change: Callable[[bytes, random.Random], bytes] = rng.choice((_cells, _bytes_of_a_table))
        (root / name).write_bytes(change(content, rng))
        reason = _refusal(root, store)
        assert reason is None or str(root) in reason, f"case {case} of seed {SEED}: {reason}"
        read += reason is None
        shutil.copy(tiny_data / name, root / name)
    assert 0 < read < CASES // 2


def _refusal(root: Path, store: Store) -> str | None:
    """Why the folder has no catalogue, or None where it has one."""
    try:
        store.make(catalog.step(scan(root, store)), catalog.run)
    except TableError as reason:
        return str(reason)
    return None


def _sounds(folder: Path) -> list[Path]:
    """Seconds of sound in the forms that soundfile writes, and ffmpeg where it is there."""
    rng = np.random.default_rng(SEED)
    samples = (0.1 * rng.standard_normal(3 * RATE)).astype(np.float32)
    made = []
    for suffix, subtype in (
        ("ogg", "VORBIS"), ("opus", "OPUS"), ("flac", "PCM_16"), ("wav", "PCM_16"),
        ("wav", "ALAW"), ("wav", "FLOAT"), ("mp3", "MPEG_LAYER_III"), ("aiff", "PCM_24"),
    ):  # fmt: skip
        path = folder / f"{subtype}.{suffix}"
        form = "OGG" if suffix == "opus" else None
        sf.write(path, np.stack([samples, 0.5 * samples], 1), RATE, subtype=subtype, format=form)
        made.append(path)
    if shutil.which("ffmpeg"):
        for suffix, codec in BY_FFMPEG.items():
            path = folder / f"ffmpeg.{suffix}"
            command = ["ffmpeg", "-v", "error", "-i", made[3], "-ar", "48000", *codec, path]
            subprocess.run(command, check=True)
            made.append(path)
    return made


def _damaged(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """One to four of: bits turned, words of the head made extreme, cut, doubled, spliced."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(damaged) or 1), rng.randrange(6)
        if kind == 0:
            for _ in range(rng.randint(1, 50)):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            head = rng.randrange(min(200, len(damaged)))
            damaged[head : head + 4] = rng.choice(WORDS)
        elif kind == 2:
            del damaged[max(at, 16) :]
        elif kind == 3:
            damaged[at:at] = damaged[at : at + rng.randint(1, 4000)]
        elif kind == 4:
            del damaged[at : at + rng.randint(1, 4000)]
        else:
            damaged[at:] = other[rng.randrange(len(other)) :]
        damaged = damaged or bytearray(b"\0")
    return bytes(damaged)


def _cells(content: bytes, rng: random.Random) -> bytes:
    """Some cells of the table, its header's too, hold something else; a quote may be left open."""
    lines = content.decode().splitlines()
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(lines))
        cells = lines[at].split(",")
        cell = rng.choice(CELLS)
        quoted = '"' + cell.replace('"', '""') + '"'
        cells[rng.randrange(len(cells))] = quoted if rng.random() < 0.8 else cell
        lines[at] = ",".join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _bytes_of_a_table(content: bytes, rng: random.Random) -> bytes:
    encodings = ("utf-16", "utf-8-sig", "latin-1")
    text = content.decode()
    begins = text.encode(rng.choice(encodings), "replace") if rng.random() < 0.3 else content
    return _damaged(begins, rng, content)
