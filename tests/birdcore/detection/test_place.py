"""A place and a week, and the model of occurrence that a user has."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from birdcore.detection.place import Place, place_of, species_at


@pytest.fixture
def geomodel(tmp_path: Path) -> Path:
    """Two species: one in the north, one late in the year."""
    helper, proto = onnx.helper, onnx.TensorProto
    weights = onnx.numpy_helper.from_array(np.array([[0.1, 0], [0, 0], [0, 0.02]], np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["in", "w"], ["out"])],
        "occurrence",
        [helper.make_tensor_value_info("in", proto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("out", proto.FLOAT, [1, 2])],
        [weights],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "geo.onnx")
    (tmp_path / "geo.txt").write_text("Turdus merula_Amsel\nErithacus rubecula_Rotkehlchen\n")
    return tmp_path / "geo.onnx"


def place(model: Path, latitude: float = 50.0, week: int = 1) -> Place:
    found = place_of(latitude, 8.0, week, model)
    assert found is not None
    return found


def test_occurrence_model_gives_species_of_place_and_week(geomodel: Path) -> None:
    assert species_at(place(geomodel)) == ["Turdus merula_Amsel"]
    assert len(species_at(place(geomodel, week=40))) == 2
    assert species_at(place(geomodel, latitude=-50.0)) == []


def test_part_of_a_place_is_refused(geomodel: Path) -> None:
    assert place_of(None, None, None, None) is None
    with pytest.raises(ValueError, match="--lat without --lon, --week, --geomodel: a place is"):
        place_of(1.0, None, None, None)
    with pytest.raises(ValueError, match="--lat, --lon, --week without --geomodel"):
        place_of(1.0, 1.0, 1, None)
    with pytest.raises(ValueError, match="--geomodel without --lat"):
        place_of(None, None, None, geomodel)


def test_what_is_no_place_or_week_is_refused(geomodel: Path) -> None:
    with pytest.raises(ValueError, match="--week is 1 to 48"):
        place(geomodel, week=49)
    with pytest.raises(ValueError, match="no latitude and longitude"):
        place(geomodel, latitude=95.0)


def test_file_that_is_no_occurrence_model_is_refused(geomodel: Path) -> None:
    geomodel.with_name("geo.txt").write_text("one\n")
    with pytest.raises(ValueError, match=r"geo\.txt has 1 names, .*geo\.onnx 2 outputs"):
        species_at(place(geomodel))
    geomodel.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"geo\.onnx is no model of occurrence"):
        species_at(place(geomodel))
    geomodel.with_name("geo.txt").rename(geomodel.with_name("labels.txt"))
    assert place(geomodel).labels.name == "labels.txt"
    geomodel.with_name("labels.txt").unlink()
    with pytest.raises(ValueError, match=r"geo\.onnx and its labels beside it, geo\.txt or labels"):
        place(geomodel)
