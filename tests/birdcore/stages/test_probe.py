"""Keys of probes: what they learn from decides them, and nothing else."""

from birdcore.config import Round
from birdcore.stages import probe
from birdcore.store.artifact import Ref

HEARD = {"heard": (Ref("external_teacher", "0" * 64),)}
ANNOTATED = HEARD | {"heard_annotated": (Ref("external_teacher", "1" * 64),)}


def test_only_probes_that_mask_what_people_doubt_have_it_in_their_key() -> None:
    def config(unannotated: str, inputs: dict[str, tuple[Ref, ...]]) -> dict[str, object]:
        said = {"name": "head", "objective": "probe", "probe": {"unannotated": unannotated}}
        return dict(probe.step(Round.model_validate(said), 0, 0, inputs).config)

    assert config("teacher", ANNOTATED)["judged_is_open"]
    assert "judged_is_open" not in config("unknown", ANNOTATED)
    assert "judged_is_open" not in config("teacher", HEARD)
