"""JSON files beside weights that say what these are, read into their models or refused in a line.

A folder that lacks such a file is no folder of a model; one whose file is cut, edited or of another
version must not be read as something else. Each is told with the file, and with what is wrong.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from birdcore.text import first_error

Model = TypeVar("Model", bound=BaseModel)


def read_json(path: Path, model: type[Model], what: str) -> Model:
    """What a JSON file says.

    Args:
        path: The file.
        model: What it is read into.
        what: What the file describes, in a word or two: "probe".

    Raises:
        ValueError: It is not there, can't be read, or is not what the model wants; in one line.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        message = f"{path.parent} holds no {what}: there is no {path.name} in it"
        raise ValueError(message) from error
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    except ValidationError as error:
        raise ValueError(f"{path} describes no {what}: {first_error(error)}") from error
