"""Which teacher's outputs a model reads, as a file beside it: `teacher.json`.

A probe's weights are good for the embeddings of one model alone, and its classes are found among
the teacher's as they were when it was trained.
"""

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from birdcore.json_file import read_json
from birdcore.store.files import write_text
from birdcore.teachers import TEACHERS, ExternalTeacher, teacher_named
from birdcore.teachers.class_mapping import Mapped, SpeciesColumns
from birdcore.teachers.external_teacher import Floats

FILE = "teacher.json"


class TeacherUse(BaseModel):
    """A teacher, and the classes of a model among its own.

    Attributes:
        teacher: Its name, or the path of its description.
        model: sha256 of each of its files.
        species: The scientific name of each class (K,).
        mapped: Those that are found among its classes otherwise than by their name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: str
    model: dict[str, str]
    species: tuple[str, ...]
    mapped: dict[str, Mapped] = Field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ValueError where the file is not there or damaged."""
        return read_json(folder / FILE, cls, "teacher")

    def write(self, folder: Path) -> None:
        write_text(folder / FILE, self.model_dump_json(indent=1) + "\n")

    def open(self, description: str | None = None) -> ExternalTeacher:
        """The teacher as it is installed, or as a file describes it.

        Args:
            description: The path of a TOML that describes it, where it is no part of birdflow.

        Raises:
            ValueError: It is not there, or its files are others.
        """
        if description is None and self.teacher not in TEACHERS:
            raise ValueError(
                f"the model reads the embeddings of {self.teacher}, whose file is yours: give the "
                "TOML that describes it, with --teacher FILE.toml"
            )
        teacher = teacher_named(description or self.teacher)
        if dict(teacher.files) != self.model:
            raise ValueError(
                f"the files of {teacher.name} here are not those that the model was trained "
                f"with ({', '.join(self.model)}): install the same version of them"
            )
        return teacher


class ClassColumns:
    """Probabilities of a model's classes from those of its teacher.

    Attributes:
        known: Which classes the teacher knows (K,).
        columns: Of each class the teacher's that count for it; none of one that it does not know.
    """

    def __init__(self, use: TeacherUse, teacher: ExternalTeacher) -> None:
        self._columns = SpeciesColumns(teacher.classes, use.species, use.mapped)
        self.known = np.isin(use.species, self._columns.known)
        of_known = iter(self._columns.columns)
        self.columns = tuple(next(of_known) if known else () for known in self.known)

    def of(self, probabilities: Floats) -> Floats:
        """Probabilities (N, K) of the classes; 0 for one that the teacher does not know."""
        of_classes = np.zeros((len(probabilities), len(self.known)), np.float32)
        of_classes[:, self.known] = self._columns.of(probabilities)
        return of_classes
