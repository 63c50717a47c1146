"""What the demo's archive holds: recordings of species that the demo's competition does not have.

    recordings.json  audio/XC2000000.mp3  demo.json

Two of them are the competition's own recordings, uploaded once more under a wrong name: leaks,
which the run finds by their sound.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import soundfile as sf

from birdcore.demo.folder import RATE, DemoSettings
from birdcore.demo.recording import RECORDISTS, focal_recording
from birdcore.demo.song import SPECIES, Samples, Species

FIRST_ID = 2_000_000
LEAKS = 2
LICENCES = ("by-nc-sa/4.0", "by/4.0", "by-sa/4.0")


def write_uploads(root: Path, data: Path, settings: DemoSettings) -> None:
    """Write the archive's folder beside the demo's `data`, or leave it where it is there already.

    Raises ValueError where all species are the competition's.
    """
    others = SPECIES[settings.species :]
    if not others:
        raise ValueError("all of the demo's species are the competition's: none is left to upload")
    if (root / "recordings.json").is_file():
        return
    making = root.with_name(f".{root.name}.{os.getpid()}.part")
    shutil.rmtree(making, ignore_errors=True)
    (making / "audio").mkdir(parents=True)
    records = []
    for k in range(len(others) * settings.recordings_per_species + LEAKS):
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(4, k)))
        bird = others[k % len(others)]
        recordist = RECORDISTS[k % len(RECORDISTS)]
        if k < LEAKS:
            leaked = sorted((data / "train_audio").rglob("*.ogg"))[7 * k]
            samples = sf.read(leaked, dtype="float32")[0]
        else:
            samples, _ = focal_recording(
                bird, None, recordist, rng, float(rng.uniform(8, 25)), RATE
            )
        sf.write(making / "audio" / f"XC{FIRST_ID + k}.mp3", samples, RATE, format="MP3")
        records.append(_record(FIRST_ID + k, bird, recordist.name, samples, rng))
    (making / "recordings.json").write_text(json.dumps(records, indent=1) + "\n")
    making.rename(root)


def _record(
    number: int, bird: Species, recordist: str, samples: Samples, rng: np.random.Generator
) -> dict[str, object]:
    """As the archive's API has it."""
    genus, _, epithet = bird.scientific_name.partition(" ")
    seconds = round(len(samples) / RATE)
    licence = LICENCES[int(rng.integers(len(LICENCES)))]
    return {
        "id": str(number), "gen": genus, "sp": epithet, "ssp": "", "grp": "birds",
        "en": bird.common_name, "rec": recordist, "cnt": "Nowhere", "loc": "", "lat": "11.0",
        "lon": "-30.0", "type": "song", "url": f"//xeno-canto.org/{number}",
        "file": f"https://xeno-canto.org/{number}/download", "file-name": f"XC{number}.mp3",
        "lic": f"//creativecommons.org/licenses/{licence}/", "q": "ABC"[int(rng.integers(3))],
        "length": f"{seconds // 60}:{seconds % 60:02d}", "date": "2025-05-01", "also": [],
        "smp": str(RATE),
    }  # fmt: skip
