"""A bundle as a data set with an offline notebook, uploaded by the kaggle client alone."""

import ast
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from birdcore.config import Predict
from birdcore.export.bundle_config import CONFIG_FILE, BundleConfig, BundledTeacher
from birdcore.export.kaggle import KaggleIds, download_command, push_bundle, write_kaggle

CLIENT = """#!{python}
import json, sys
from pathlib import Path
state = Path({folder!r})
words = sys.argv[1:]
with (state / "calls").open("a") as file:
    file.write(json.dumps(words) + chr(10))
if words[:2] == ["datasets", "status"] and (state / "status").exists():
    print((state / "status").read_text())
elif words[:2] == ["datasets", "status"]:
    if not (state / "created").exists():
        sys.exit("403 - Forbidden")
    left = int((state / "created").read_text())
    (state / "created").write_text(str(max(0, left - 1)))
    print("running" if left else "ready")
elif words[0] == "datasets":
    (state / "created").write_text("2")
    print("Your private Dataset is being created. Please check progress at https://there")
else:
    print((state / "answer").read_text())
"""


@pytest.fixture
def config() -> BundleConfig:
    return BundleConfig(
        birdflow="1",
        front_end={"name": "mel"},
        scale={},
        predict=Predict(),
        blend="mean",
        power=1.0,
        weights={},
        members={},
        classes=("a", "b"),
        licences={"cc0": 2, "": 1},
    )


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a client that remembers how it was called; it is alone on PATH."""
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "answer").write_text("Kernel version 1 successfully pushed. See https://here")
    program = folder / "kaggle"
    program.write_text(CLIENT.format(python=sys.executable, folder=str(folder)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def calls(client: Path) -> list[list[str]]:
    return [json.loads(line) for line in (client / "calls").read_text().splitlines()]


def test_both_descriptions_are_as_the_client_wants_them(
    config: BundleConfig, tmp_path: Path
) -> None:
    write_kaggle(tmp_path, config, KaggleIds.parse("ann/warblers-v1", "birdclef-2025"))
    dataset = json.loads((tmp_path / "dataset-metadata.json").read_text())
    assert dataset["id"] == "ann/warblers-v1"
    assert 6 <= len(dataset["title"]) <= 50
    assert 20 <= len(dataset["subtitle"]) <= 80
    assert dataset["licenses"] == [{"name": "other"}]
    assert "2 cc0, 1 unknown" in dataset["description"]
    kernel = json.loads((tmp_path / "notebook" / "kernel-metadata.json").read_text())
    assert kernel["id"] == "ann/" + kernel["title"].lower().replace(" ", "-")
    assert (tmp_path / "notebook" / kernel["code_file"]).is_file()
    assert kernel["enable_internet"] is kernel["enable_gpu"] is False
    assert kernel["is_private"] is True
    assert kernel["dataset_sources"] == ["ann/warblers-v1"]
    assert kernel["competition_sources"] == ["birdclef-2025"]
    assert "openvino==" in (tmp_path / "requirements.txt").read_text()


def code_of(notebook: Path) -> str:
    """The code of a notebook, which must be one of format 4.5."""
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    cells = content["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code", "code"]
    assert all(set(cell) == {"cell_type", "id", "metadata", "source"} for cell in cells[:1])
    assert cells[0]["source"][0] == "# Predict soundscapes, offline\n"
    return "\n\n".join("".join(cell["source"]) for cell in cells[1:])


@pytest.mark.parametrize("mounted", ["warblers-v1", "datasets/ann/warblers-v1"])
def test_notebook_runs_the_script_of_the_data_set(
    config: BundleConfig, tmp_path: Path, mounted: str
) -> None:
    bundle, here = tmp_path / "input" / mounted, tmp_path / "working"
    soundscapes = tmp_path / "input" / "birdclef" / "test_soundscapes"
    for folder in (bundle, here, soundscapes):
        folder.mkdir(parents=True)
    (soundscapes.parent / "sample_submission.csv").write_text("row_id,a,b\n")
    (bundle / "front_end.npz").touch()
    (bundle / "predict.py").write_text("import sys\nprint(*sys.argv[1:])\n")
    write_kaggle(bundle, config, KaggleIds.parse("ann/warblers-v1", None))
    code = code_of(bundle / "notebook" / "predict.ipynb")
    ast.parse(code)
    code = code.replace("/kaggle/input", str(tmp_path / "input"))
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, cwd=here, check=True)
    assert "no soundscape" in done.stdout
    assert (here / "submission.csv").read_text() == "row_id,a,b\n"
    (soundscapes / "a.ogg").touch()
    done = subprocess.run(run, capture_output=True, text=True, cwd=here, check=True)
    assert f"{soundscapes} --sample {soundscapes.parent}" in done.stdout


@pytest.mark.parametrize(
    ("dataset", "competition", "message"),
    [
        ("warblers", None, "give USER/SLUG"),
        ("ann/Warblers", None, "small letters"),
        ("ann/birds", None, "the slug has 5 letters, Kaggle takes 6 to 42"),
        ("ann/warblers", "https://www.kaggle.com/c/birdclef", "give the slug"),
    ],
)
def test_names_that_kaggle_refuses_are_refused(
    dataset: str, competition: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        KaggleIds.parse(dataset, competition)


def test_a_push_creates_then_adds_versions(
    config: BundleConfig, tmp_path: Path, client: Path
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    with pytest.raises(ValueError, match=r"no dataset-metadata\.json: give --kaggle"):
        push_bundle(bundle)
    write_kaggle(bundle, config, KaggleIds.parse("ann/warblers-v1", None))
    (bundle / CONFIG_FILE).write_text(config.model_dump_json())
    with pytest.raises(ValueError, match=r"holds no wheel.*pip download --only-binary"):
        push_bundle(bundle)
    assert not (client / "calls").exists()
    (bundle / "wheels" / "openvino.whl").touch()

    waits: list[float] = []
    assert "successfully pushed" in push_bundle(bundle, sleep=waits.append)
    assert len(waits) == 2
    how = ["-p", str(bundle), "--dir-mode", "zip", "--keep-tabular"]
    status = ["datasets", "status", "ann/warblers-v1"]
    push = ["kernels", "push", "-p", str(bundle / "notebook")]
    assert calls(client) == [status, ["datasets", "create", *how], *[status] * 3, push]
    push_bundle(bundle, sleep=waits.append)
    assert calls(client)[7][:-2] == ["datasets", "version", *how]

    (client / "answer").write_text("Kernel push error: Maximum batch CPU session count")
    with pytest.raises(RuntimeError, match="kaggle kernels push failed: Kernel push error: Max"):
        push_bundle(bundle, sleep=waits.append)


def test_a_teacher_is_named_and_has_to_be_there(
    config: BundleConfig, tmp_path: Path, client: Path
) -> None:
    teacher = BundledTeacher(
        name="Cosines", author="Nobody", licence="CC BY-NC 4.0", url="", citation="",
        file="cosines.onnx", files={"cosines.onnx": "0"}, included=False, engines=("onnx",),
        difference=0.0, sample_rate=4_000, window_s=0.5, hop_s=0.25, frame_rate=31.25,
        shape=(1, 2_000), half=False, peak=None, embedding="e", label="l", scores="logits",
        slope=1.0, intercept=0.0, limit=60.0, columns=((0,), ()), member=None,
    )  # fmt: skip
    config = config.model_copy(update={"format": 2, "teacher": teacher})
    write_kaggle(tmp_path, config, KaggleIds.parse("ann/warblers-v1", None))
    (tmp_path / CONFIG_FILE).write_text(config.model_dump_json())
    said = json.loads((tmp_path / "dataset-metadata.json").read_text())["description"]
    assert "It needs the file of Cosines by Nobody, CC BY-NC 4.0" in said
    needed = (tmp_path / "requirements.txt").read_text()
    assert "openvino==" in needed
    assert "onnxruntime==" in needed
    (tmp_path / "wheels" / "openvino.whl").touch()
    with pytest.raises(ValueError, match=r"cosines\.onnx is not there, and the notebook needs it"):
        push_bundle(tmp_path)
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "cosines.onnx").touch()
    assert "successfully pushed" in push_bundle(tmp_path, sleep=lambda seconds: None)


def test_a_data_set_that_can_not_be_used_ends_the_push(
    config: BundleConfig, tmp_path: Path, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdcore.export.kaggle.READY_S", 60.0)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    write_kaggle(bundle, config, KaggleIds.parse("ann/warblers-v1", None))
    (bundle / CONFIG_FILE).write_text(config.model_dump_json())
    (bundle / "wheels" / "openvino.whl").touch()
    (client / "status").write_text("error")
    with pytest.raises(RuntimeError, match="ann/warblers-v1 is 'error' after 0 minutes"):
        push_bundle(bundle, sleep=lambda seconds: None)
    (client / "status").write_text("running")
    with pytest.raises(RuntimeError, match="is 'running' after 1 minutes"):
        push_bundle(bundle, sleep=lambda seconds: None)
    assert not [words for words in calls(client) if words[0] == "kernels"]


def test_without_the_client_nothing_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="not on PATH: pip install kaggle"):
        push_bundle(tmp_path)


@pytest.mark.parametrize("name", ["my birds", "a'b", "$HOME"])
def test_the_command_for_wheels_can_be_pasted(tmp_path: Path, name: str) -> None:
    bundle = tmp_path / name
    said = subprocess.run(
        ["bash", "-c", f"pip() {{ printf '%s\\n' \"$@\"; }}; {download_command(bundle)}"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert said[0] == "download"
    assert said[-4:] == ["-d", str(bundle / "wheels"), "-r", str(bundle / "requirements.txt")]
