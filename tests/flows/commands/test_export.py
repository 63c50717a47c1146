"""`birdflow export`: what it writes and says, and what it refuses before work."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.config import Predict
from birdcore.teachers import teacher_named
from flows.cli import main
from tests.support.small_run import write_probe_run, write_run
from tests.support.teacher_files import write_teacher

pytestmark = pytest.mark.xdist_group("exports")  # the first of a process takes long


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Results of a run with one model."""
    folder = tmp_path / "out"
    write_run(folder, {"x/one": ["x/one/fold-0"]}, {"x/one": 1.0}, Predict())
    return folder


def this_environment(folder: Path, packages: Sequence[str]) -> Path:
    assert packages[0].startswith("numpy==")
    (folder / "lib" / "python3" / "site-packages").mkdir(parents=True)
    return Path(sys.executable)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command says as it fails."""
    assert main(["export", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    (line,) = said.err.splitlines()
    return line.removeprefix("birdflow: ")


def test_a_bundle_is_written_and_said(
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = json.loads((run_folder / "model" / "ensemble.json").read_text())
    spec |= {"weights": {"x/one": 0.6, "birdnet": 0.4}}
    (run_folder / "model" / "ensemble.json").write_text(json.dumps(spec))
    (run_folder / "model" / "x/one/fold-0" / "int8.onnx").touch()
    bundle = tmp_path / "kits" / "bundle"
    # What is in that file is tested beside it; to write it takes seconds.
    monkeypatch.setattr("birdcore.export.bundle.write_single_onnx", lambda run, path: path.touch())
    assert main(["export", str(run_folder), "--to", str(bundle), "--single-onnx"]) == 0
    said = capsys.readouterr()
    assert "exporting x/one/fold-0" in said.err
    assert "note: birdnet is not in the bundle" in said.err
    assert "note: the run predicts with int8.onnx on CPUs" in said.err
    assert "1 model, 3 classes" in said.out
    assert "predict.py SOUNDSCAPES --out submission.csv" in said.out
    found = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    model = "model/x/one/fold-0"
    assert found == {
        "ATTRIBUTION.csv", "MODEL_CARD.md", "config.json", "front_end.npz", "predict.py",
        "single.onnx", "model/ensemble.json", f"{model}/input.json", f"{model}/model.json",
        f"{model}/model.onnx", f"{model}/model.xml", f"{model}/model.bin",
    }  # fmt: skip

    # A bundle is laid out later, by the same command; without the client nothing is pushed.
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["export", str(bundle), "--kaggle", "ann/warblers", "--competition", "bc-25"]) == 0
    said = capsys.readouterr().out
    assert "data set ann/warblers, notebook ann/warblers-predict" in said
    assert "pip download" in said
    assert (bundle / "notebook" / "predict.ipynb").is_file()
    # A dry run in this environment, since packages are not installed in a quick test.
    monkeypatch.setattr("birdcore.export.dry_run.make_environment", this_environment)
    sound = np.random.default_rng(0).standard_normal(32_000 * 11).astype(np.float32) / 9
    (tmp_path / "sounds").mkdir()
    sf.write(tmp_path / "sounds" / "a.wav", sound, 32_000)
    assert main(["export", str(bundle), "--dry-run", str(tmp_path / "sounds")]) == 0
    said = capsys.readouterr().out
    assert "dry run  1 recordings, 0.18 minutes, with network off (refused sockets)" in said
    assert "700 minutes of audio on 4 cores: " in said
    assert json.loads((bundle / "dry_run.json").read_text())["rows"] == 3
    assert len((bundle / "dry_run.csv").read_text().splitlines()) == 4
    assert "holds no recording" in refusal(capsys, bundle, "--dry-run", bundle)

    assert "needs the kaggle client" in refusal(capsys, bundle, "--push")
    assert "leave --to out" in refusal(capsys, bundle, "--to", tmp_path / "again")
    assert "nothing is asked of it" in refusal(capsys, bundle)
    assert "needs the weights of a run" in refusal(capsys, bundle, "--single-onnx")
    config = json.loads((bundle / "config.json").read_text()) | {"format": 3}
    (bundle / "config.json").write_text(json.dumps(config))
    wrong = refusal(capsys, bundle, "--kaggle", "ann/warblers")
    assert "is a bundle of format 3, this birdflow reads 1 and 2" in wrong


def test_heads_are_exported_with_their_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "teacher").mkdir()
    description = write_teacher(tmp_path / "teacher")
    run, bundle = tmp_path / "out", tmp_path / "bundle"
    folds = {"head/probe": ["head/probe/fold-0", "head/probe/fold-1"]}
    write_probe_run(run, teacher_named(str(description)), folds, Predict())
    to, described = ("--to", bundle), ("--teacher", description)
    assert "give the TOML that describes it" in refusal(capsys, run, *to)
    single = refusal(capsys, run, *to, *described, "--single-onnx")
    assert "single.onnx holds networks alone, and head/probe reads an external teacher's" in single
    words = ["export", str(run), *map(str, (*to, *described)), "--without-teacher"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 heads on the embeddings of Cosines, 3 classes; probabilities differ from" in said
    assert f"bring    {bundle / 'teacher' / 'cosines.onnx'}, sha256 " in said.replace("\n", " ")
    assert "is a bundle: give --teacher as its run is exp" in refusal(capsys, bundle, *described)


def test_what_can_not_be_exported_is_refused_in_a_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ("--to", tmp_path / "bundle")
    assert "holds no ensemble" in refusal(capsys, tmp_path, *to)
    assert "is not empty" in refusal(capsys, run_folder, "--to", run_folder)
    assert "give --to DIR" in refusal(capsys, run_folder)
    assert "give --kaggle" in refusal(capsys, run_folder, *to, "--competition", "birdclef-2025")
    under_a_file = run_folder / "MODEL_CARD.md" / "bundle"
    assert "not a directory" in refusal(capsys, run_folder, "--to", under_a_file)
    (run_folder / "ATTRIBUTION.csv").write_text("recording,license\na.ogg,\n")
    assert "1 have no licence" in refusal(capsys, run_folder, *to)
    (run_folder / "ATTRIBUTION.csv").write_text("recording,license\na.ogg,cc0\n")
    model = run_folder / "model" / "x/one/fold-0"
    (model / "model.safetensors").rename(model / "elsewhere")
    assert "there is no model.safetensors in it" in refusal(capsys, run_folder, *to)
    reads = json.loads((model / "input.json").read_text())
    for content, message in (
        (reads | {"mel": reads["mel"] | {"front_end": "ear"}}, "mel: no front end 'ear'"),
        (reads | {"frames": "many", "other": 1}, "frames: Input should be a valid integer, "),
    ):
        (model / "input.json").write_text(json.dumps(content))
        assert f"input.json describes no input: {message}" in refusal(capsys, run_folder, *to)
    (model / "input.json").unlink()
    assert "there is no input.json in it" in refusal(capsys, run_folder, *to)
    (run_folder / "model" / "ensemble.json").write_text("{}")
    assert "describes no ensemble: weights: Field" in refusal(capsys, run_folder, *to)
    assert not (tmp_path / "bundle").exists()
