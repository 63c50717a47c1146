from dataclasses import replace
from pathlib import Path

from birdcore.annotations.readers import read_annotations
from birdcore.config import Annotations
from birdcore.detection.review_order import Clip
from birdcore.detection.review_summary import disagreements, others, right_by_band
from birdcore.detection.review_table import Verdict, open_table

FILE = "site/day.wav"
CLIPS = [Clip(FILE, 3.0 * n, 3.0 * n + 3, "amered", "Setophaga", "Redstart", 0.5) for n in range(4)]
YES, NO, UNSURE, WREN = Verdict("yes"), Verdict("no"), Verdict("unsure"), Verdict("other", "wren")


def test_people_are_compared(tmp_path: Path) -> None:
    said = {"ana": (YES, YES, WREN, NO), "ben": (YES, NO, NO, UNSURE), "cem": (YES, YES)}
    for who, given_ in said.items():
        table = open_table(tmp_path / f"{who}.csv", who)
        for clip, verdict in zip(CLIPS, given_, strict=False):
            table.add(clip, verdict)
    (tmp_path / "detections.csv").write_text("File,Confidence\na.wav,.5\n")
    tables = others(tmp_path, "nobody")
    assert tables.keys() == said.keys()
    assert others(tmp_path, "ana").keys() == {"ben", "cem"}
    assert disagreements(tables) == {
        CLIPS[1].key: {"ana": YES, "ben": NO, "cem": YES},
        CLIPS[2].key: {"ana": WREN, "ben": NO},
    }
    (tmp_path / "detections.csv").unlink()
    found = read_annotations(tmp_path, [FILE], Annotations(annotator="annotator"))
    second = [(a.annotator, a.kind) for a in found.annotations if a.start_s == 3]
    assert sorted(second) == [("ana", "present"), ("ben", "absent"), ("cem", "present")]


def test_bands_count_what_is_right() -> None:
    clips = [replace(CLIPS[0], start_s=float(n), confidence=n / 10) for n in (3, 3.1, 3.5, 10)]
    said = dict(zip([clip.key for clip in clips], (YES, NO, UNSURE, WREN), strict=True))
    unheard = replace(clips[0], start_s=99.0)
    assert right_by_band([*clips, unheard], said) == {3: (1, 2), 9: (0, 1)}
