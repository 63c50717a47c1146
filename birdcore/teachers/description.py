"""A TOML file that describes a teacher: where its model is, how it is read, and whose work it is.

Models of other people differ in rate, window, names of outputs and in what these mean, and in
nothing else that matters here. So a teacher needs no code, only a table of these: docs/teachers.md
explains the keys. Descriptions of known models lie beside this module; their files do not, since
they are not ours to copy. A description may have a `base`, whose keys it takes where it has none.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from birdcore.config.external_teacher import TEACHERS_FOLDER, shipped_teachers
from birdcore.config.section import Count, Positive, Section
from birdcore.config.toml import MOST_BYTES, Key, NotARecipe, lines_of, parse
from birdcore.config.validation_errors import WrongSetting, error_lines, nearest

BASE = "base"

Words = Annotated[str, Field(min_length=1, pattern=r"\S", description="text in quotes")]


class Description(Section):
    """The keys of the file.

    Attributes:
        name: What the model is called.
        file: Its ONNX or TFLite file, from the description's folder on.
        labels: The file that names its classes, likewise.
        labels_column: Of a table of labels: the column of scientific names.
        common_names_column: Of a table of labels: the column of common names.
        sample_rate: Hz.
        window_s: Length of a window, seconds.
        peak: Each window is centred and scaled to this peak before the model reads it.
        batch: Windows at once, where the model takes any number.
        embedding: The output that is a vector for each window.
        label: The output that is a number for each window and class.
        scores: What these numbers are.
        slope: Of logits x: the probability is sigmoid(slope * x + intercept).
        intercept: Of logits.
        licence: Under which terms it and what learns from it may be used.
        author: Whose work it is.
        citation: What to cite.
        url: Where it comes from.
    """

    name: Words
    file: Words | None = None
    labels: Words | None = None
    labels_column: Words | None = None
    common_names_column: Words | None = None
    sample_rate: Annotated[int, Field(ge=1_000, le=1_000_000)]
    window_s: Annotated[float, Field(gt=0, le=600)]
    peak: Positive | None = None
    batch: Count = 4
    embedding: Words
    label: Words
    scores: Literal["logits", "probabilities"]
    slope: Positive = 1.0
    intercept: float = 0.0
    licence: Words
    author: Words
    citation: str = ""
    url: str = ""

    @property
    def samples(self) -> int:
        """Of a window."""
        return round(self.sample_rate * self.window_s)

    @model_validator(mode="after")
    def _only_logits_are_mapped(self) -> "Description":
        for name in ("slope", "intercept") if self.scores == "probabilities" else ():
            if name in self.model_fields_set:
                raise WrongSetting('is of logits: remove it, or set scores = "logits"', name)
        return self


def read_description(path: Path) -> Description:
    """A description, its files as absolute paths.

    Raises:
        ValueError: It can't be read; with a line for each mistake.
    """
    text, tree = _read(path)
    base = tree.pop(BASE, None)
    whole = tree if base is None else _base(path, text, base) | tree
    for key in ("file", "labels"):
        if isinstance(tree.get(key), str) and tree[key].strip():
            whole[key] = str(path.absolute().parent / tree[key])
    try:
        return Description.model_validate_json(json.dumps(whole, default=str), strict=True)
    except ValidationError as error:
        lines = lines_of(text)

        def where(key: Key) -> str:
            line = next((lines[k] for n in range(len(key), 0, -1) if (k := key[:n]) in lines), 0)
            return f"{path}:{line}" if line else str(path)

        raise ValueError("\n".join(error_lines(error, Description, whole, where))) from None


def _base(path: Path, text: str, base: object) -> dict[str, Any]:
    if base not in shipped_teachers():
        place = f"{path}:{lines_of(text)[BASE,]}"
        near = nearest(base, shipped_teachers()) if isinstance(base, str) else ""
        raise ValueError(
            f"{place}: {BASE} must be a description that comes with birdflow: "
            f"{', '.join(shipped_teachers())}{near}"
        )
    return _read(TEACHERS_FOLDER / f"{base}.toml")[1]


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"{path}: describes no teacher: it has more than {MOST_BYTES} bytes")
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        return text, parse(text)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such description of a teacher") from None
    except OSError as error:
        raise ValueError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: not UTF-8 text") from None
    except NotARecipe as error:
        raise ValueError(f"{path}:{error.line}: {error}") from None


def deciding(description: Description) -> Mapping[str, Any]:
    """The settings that what a teacher says depends on: all but the places of its files. Of
    the batch rounding depends."""
    return description.model_dump(exclude={"file", "labels"})
