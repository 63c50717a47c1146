"""Predict a folder of soundscapes with the models beside this file, and write submission.csv.

    python predict.py SOUNDSCAPES [--out submission.csv] [--sample sample_submission.csv]

It runs where birdflow can't be installed, for instance in an offline notebook. It needs Python
3.10, NumPy, soundfile, and OpenVINO or ONNX Runtime, and nothing else: so what birdflow does in
several modules is written here once more, in NumPy. Tests hold that both compute the same: energies
to 1e-4 dB (one cell in 10,000, far below the loudest, to 3e-3), values of PCEN to 1e-5, and each
probability of a submission to 1e-3.

    config.json       front end, codes, windows, smoothing, blend, weights, classes
    front_end.npz     window and filters, or frequencies of wavelets; power of each code, response
                      of the resampler
    model/ROUND/BACKBONE/fold-N/    model.onnx, and the same for OpenVINO (model.xml, model.bin)
    model/ROUND/probe/fold-N/       a head on a teacher's embeddings: probe.json, probe.safetensors
    teacher/                        the teacher's own file, ONNX or TFLite

Several recordings are predicted at once, each by one thread from its first byte to its rows, so
that only probabilities are kept of a recording that is done. A recording is held in memory as a
whole: this is for soundscapes of minutes, not of days.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from birdcore.export.kit.base import Refused
from birdcore.export.kit.bundle import open_bundle, read_bundle
from birdcore.export.kit.engines import ENGINES
from birdcore.export.kit.recordings import predict_recordings, recordings_of
from birdcore.export.kit.submission import check_output, read_sample, write_submission


def predict_folder(given: argparse.Namespace) -> str:
    """Predict and write what the command line asks for; whatever is refused is so before work."""
    began = time.perf_counter()
    if given.threads < 0:
        raise Refused(f"--threads {given.threads}: give how many, or 0 for all cores")
    config, arrays = read_bundle(given.bundle)
    classes = config["classes"]
    paths = recordings_of(given.soundscapes)
    sample = read_sample(given.sample, classes) if given.sample else None
    for path in filter(None, (given.out, given.report)):
        check_output(path)
    bundle = open_bundle(given.bundle, config, arrays, given.engine)
    threads = given.threads or cores()
    ready = time.perf_counter()
    row_ids, probabilities, seconds = predict_recordings(paths, given.soundscapes, bundle, threads)
    write_submission(given.out, row_ids, probabilities, classes, sample)
    ended = time.perf_counter()
    if given.report:
        counts = {"recordings": len(paths), "rows": len(row_ids), "threads": threads}
        clock = {"audio_s": seconds, "predict_s": ended - ready, "peak_memory_mb": peak_memory()}
        given.report.write_text(json.dumps(counts | clock), encoding="utf-8")
    took = ended - began
    return f"{len(row_ids)} rows of {seconds:.0f} s of audio in {took:.1f} s: {given.out}"


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> float:
    """The most memory that this process has had, MB; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Predict a folder of soundscapes.")
    parser.add_argument("soundscapes", type=Path, help="folder of recordings")
    parser.add_argument("--out", type=Path, default=Path("submission.csv"))
    parser.add_argument("--sample", type=Path, help="a sample_submission.csv: its rows and columns")
    parser.add_argument("--bundle", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--threads", type=int, default=0, help="recordings at once; 0: all cores")
    parser.add_argument("--report", type=Path, help="a JSON file for counts, seconds, memory")
    given = parser.parse_args(arguments)
    try:
        print(predict_folder(given))
    except (Refused, OSError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
