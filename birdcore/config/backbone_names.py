"""Which names of backbones there are, found without importing timm, which takes seconds.

A wrong name is so refused when a recipe is read. timm registers its models by functions of their
names, so the text of the installed version says which it has. Whether one of them fits is found out
by building it: `birdcore.models.backbone`.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias, get_args

SequenceName: TypeAlias = Literal["conv_gru", "transformer_1d", "conv_wave"]
"""Their classes: `birdcore.models.sequence.SEQUENCE_MODELS`. Every other backbone is timm's."""

REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)
OLD_NAMES = "register_model_deprecations("
QUOTED_KEY = re.compile(r"""['"]([\w.]+)['"]\s*:""")
MOST_NEAR = 3
SOURCES = ("hf-hub", "hf_hub", "local-dir")
"""Before a colon, they make timm read what a model is from a hub or a folder."""


def is_backbone(name: str) -> bool:
    """Whether a name is one of ours or of timm's; a tag of weights behind a point is not judged."""
    return name in get_args(SequenceName) or _in_timm(name) or _in_timm(name.partition(".")[0])


def refuse_source(name: str) -> str:
    """A name, if it is none of a hub's or a folder's model.

    Raises:
        ValueError: It is: what it means may change behind an artifact's key, and a model that was
            trained could not be opened without it.
    """
    source, colon, _ = name.partition(":")
    if colon and source.lower() in SOURCES:
        raise ValueError(
            f"names with {source}: are not supported: choose timm's name of that model, and set "
            'weights = "FILE" to its weights (.safetensors or .pth)'
        )
    return name


def nearest_names(name: str) -> list[str]:
    """The names that are most like another one, three at most."""
    known = [*get_args(SequenceName), *sorted(_timm_names())]
    return get_close_matches(name.partition(".")[0], known, n=MOST_NEAR, cutoff=0.5)


@lru_cache(maxsize=1024)
def _in_timm(name: str) -> bool:
    registered = f"@register_model\ndef {name}("  # a tenth of the time of all names
    return any(registered in text for text in _sources()) or name in _timm_names()


@lru_cache(maxsize=1)
def _timm_names() -> frozenset[str]:
    """All that timm has, and what it called some of them before."""
    names = {name for text in _sources() for name in REGISTERED.findall(text)}
    for text in _sources():
        _, _, after = text.partition(OLD_NAMES)
        names.update(QUOTED_KEY.findall(after))
    return frozenset(names)


@lru_cache(maxsize=1)
def _sources() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in _files())


def _files() -> Iterator[Path]:
    timm = find_spec("timm")
    assert timm is not None, "timm is a dependency"
    for folder in timm.submodule_search_locations or ():
        yield from sorted(Path(folder, "models").rglob("*.py"))
