"""External teachers: models that others have trained, whose outputs ours learn from.

A model of which there is a file needs a description (`description.py`). One that needs code is a
file with a function that describes it (`birdnet.py` is the example), listed in `TEACHERS`.
"""

from collections.abc import Callable, Mapping

from birdcore.config.external_teacher import TOML, shipped_teachers
from birdcore.teachers.birdnet import birdnet as describe_birdnet
from birdcore.teachers.external_teacher import ExternalTeacher
from birdcore.teachers.file_teacher import file_teacher

TEACHERS: dict[str, Callable[[], ExternalTeacher]] = {"birdnet": describe_birdnet}
"""The function that describes each teacher, by its name."""

NOWHERE: Mapping[str, str] = {}

__all__ = ["TEACHERS", "ExternalTeacher", "is_teacher", "teacher_named"]


def is_teacher(name: str) -> bool:
    """Whether a name or the path of a description means an external teacher."""
    return name in TEACHERS or name in shipped_teachers() or name.endswith(TOML)


def teacher_named(name: str, places: Mapping[str, str] = NOWHERE) -> ExternalTeacher:
    """A teacher by its name, or by the path of its description.

    Args:
        name: As a recipe says it.
        places: Where its files are, by role (`file_teacher`).

    Raises:
        ValueError: There is no teacher of this name, or it is not installed; or its files do not
            fit.
    """
    if name.endswith(TOML):
        return file_teacher(name, {**places, "description": name})
    if "description" in places or name in shipped_teachers():
        return file_teacher(name, places)
    if name not in TEACHERS:
        known = ", ".join([*TEACHERS, *shipped_teachers()])
        raise ValueError(f"no external teacher is called {name!r}: choose {known}")
    return TEACHERS[name]()
