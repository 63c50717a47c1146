"""Weights beside a model's file: all that its graph names are found, hashed, or refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from birdcore.store.files import file_sha256
from birdcore.teachers import teacher_named
from birdcore.teachers.external_data import external_data
from tests.support.teacher_files import SAMPLES, answers, write_teacher

WAVES = np.random.default_rng(2).normal(size=(2, SAMPLES)).astype(np.float32) / 10


def move_weights(model: Path, **locations: str) -> None:
    """Have initializers of a model in these files beside it."""
    graph = onnx.load(model)
    for tensor in graph.graph.initializer:
        if tensor.name in locations:
            set_external_data(tensor, locations[tensor.name])
    onnx.save(graph, model)


def outside(name: str, location: str) -> TensorProto:
    """A tensor whose numbers are in another file, by its own account."""
    tensor = numpy_helper.from_array(np.ones(2, np.float32), name)
    set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    return tensor


@pytest.mark.parametrize("location", ["cosines.onnx.data", "cosines.onnx_data", "parts/w.bin"])
def test_changed_weights_change_the_key(tmp_path: Path, location: str) -> None:
    path = write_teacher(tmp_path)
    file = tmp_path / location
    file.parent.mkdir(exist_ok=True)
    move_weights(tmp_path / "cosines.onnx", mixed=location)
    teacher = teacher_named(str(path))
    assert teacher.files.keys() == {"file", "labels", "description", "weights"}
    assert teacher.files["weights"] == file_sha256(file)
    np.testing.assert_allclose(teacher.open(1)(WAVES)[1], answers(WAVES)[1], atol=1e-4)
    file.write_bytes(np.frombuffer(file.read_bytes(), np.float32).astype("<f4")[::-1].tobytes())
    changed = teacher_named(str(path)).files
    assert {role for role in changed if changed[role] != teacher.files[role]} == {"weights"}


def test_weights_in_two_files_both_decide(tmp_path: Path) -> None:
    path = write_teacher(tmp_path)
    move_weights(tmp_path / "cosines.onnx", cosines="b", mixed="a.bin")
    (tmp_path / "cosines.onnx.data").write_bytes(b"of nobody")
    files = teacher_named(str(path)).files
    assert files["weights"] == file_sha256(tmp_path / "a.bin")
    assert files["weights 1"] == file_sha256(tmp_path / "b")
    (tmp_path / "cosines.onnx.data").unlink()
    (tmp_path / "cosines.onnx").rename(tmp_path / "renamed.onnx")
    places = {"file": str(tmp_path / "renamed.onnx")}
    assert teacher_named(str(path), places).files == files


def test_tensors_are_found_wherever_a_graph_may_have_them(tmp_path: Path) -> None:
    for name in ("branch", "function", "values", "plain"):
        (tmp_path / name).write_bytes(b"\0" * 8)
    gives = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    constant = helper.make_node("Constant", [], ["x"], value=outside("v", "branch"))
    branch = helper.make_graph([constant], "then", [], [gives])
    sparse = helper.make_sparse_tensor(
        outside("s", "values"), numpy_helper.from_array(np.array([0, 1]), "i"), [4]
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["x"], then_branch=branch, else_branch=branch)],
        "g", [], [gives], [outside("p", "plain")], sparse_initializer=[sparse],
    )  # fmt: skip
    of_function = helper.make_node("Constant", [], ["y"], value=outside("f", "function"))
    opset = helper.make_opsetid("", 17)
    function = helper.make_function("ours", "F", [], ["y"], [of_function], [opset])
    path = tmp_path / "m.ONNX"
    model = helper.make_model(graph, opset_imports=[opset], functions=[function])
    path.write_bytes(model.SerializeToString())
    found = [file.name for file in external_data(path)]
    assert found == ["branch", "function", "plain", "values"]


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("../w.bin", "which is not in its folder"),
        ("a/../../w.bin", "which is not in its folder"),
        ("/etc/hostname", "which is not in its folder"),
        ("C:\\w.bin", "which is not in its folder"),
        ("..\\w.bin", "which is not in its folder"),
        ("", "which is not in its folder"),
        ("elsewhere.bin", "and there is no such file"),
        ("folder", "and there is no such file"),
    ],
)
def test_weights_elsewhere_or_missing_are_refused(tmp_path: Path, location: str, says: str) -> None:
    (tmp_path / "m" / "folder").mkdir(parents=True)
    (tmp_path / "w.bin").write_bytes(b"\0" * 8)
    path = write_teacher(tmp_path / "m")
    model = onnx.load(tmp_path / "m" / "cosines.onnx")
    model.graph.initializer.append(outside("more", location))
    (tmp_path / "m" / "cosines.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=f"cosines.onnx: has weights in '.*', {says}"):
        teacher_named(str(path))


def test_other_files_have_none(tmp_path: Path) -> None:
    assert external_data(tmp_path / "m.tflite") == ()
