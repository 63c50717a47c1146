"""Find the artifact that is named on the command line: by its key, its path, or a result's content.

Results of a run do not name their artifacts, but they are copies of their files: the sha256 that a
manifest has of each file tells which artifact it belongs to.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from birdcore.store.artifact import MANIFEST, Ref
from birdcore.store.files import file_sha256
from birdcore.store.store import Store
from birdcore.store.transfer import remote_refs
from birdcore.text import first_of

MAX_LISTED = 5
"""Names that an error message lists."""
SHORT_KEY = re.compile(r"[0-9a-f]{6,64}")
"""How a key begins, as plans and tables print it."""
SIMILAR = 0.6
"""Least ratio of `difflib.SequenceMatcher` for a name that is suggested."""


def find_artifact(store: Store, text: str) -> Ref:
    """The artifact that a text names.

    Args:
        store: Where it is looked for.
        text: How `stage/key` or a key begins, a step's name, a path into the store, or a copy
            of one of its files.

    Raises:
        ValueError: There is none, or more than one; the message lists similar names.
    """
    refs = _known(store)
    found = [ref for ref in refs if _name(ref).startswith(text)]
    if not found and SHORT_KEY.fullmatch(text):
        found = [ref for ref in refs if ref.key.startswith(text)]
    if not found and " " in text:  # a step's name, as a plan prints it
        stage = text.partition(" ")[0]
        own = ((ref, store.manifest(ref)) for ref in refs if ref.stage == stage)
        found = [ref for ref, manifest in own if manifest and manifest.name == text]
    if not found and (path := Path(text)).exists():
        found = _holding(path, store, refs)
    if len(found) > 1:
        found.sort(key=lambda ref: _made_at(store, ref), reverse=True)
        raise ValueError(
            f"{text} is any of {len(found)} artifacts, the latest first: {_listed(store, found)}"
        )
    if not found:
        raise ValueError(_unknown(store, text, refs))
    return found[0]


def _known(store: Store) -> list[Ref]:
    paths = store.root.glob(f"*/*/{MANIFEST}")
    named = (Ref.of(path.parents[1].name, path.parent.name) for path in paths)
    local = {ref for ref in named if ref is not None}
    return sorted(local.union(remote_refs(store.remote) if store.remote is not None else ()))


def _holding(path: Path, store: Store, refs: Sequence[Ref]) -> list[Ref]:
    """The artifacts that a file or folder belongs to or is a copy of."""
    path, root = path.resolve(), store.root.resolve()
    if path.is_relative_to(root):
        inside = path.relative_to(root).parts
        return [ref for ref in refs if (ref.stage, ref.key) == inside[:2]]
    if not path.is_file():
        return []
    sha256 = file_sha256(path)
    manifests = ((ref, store.manifest(ref)) for ref in refs)
    return [ref for ref, m in manifests if m and any(f.sha256 == sha256 for f in m.files)]


def _unknown(store: Store, text: str, refs: Sequence[Ref]) -> str:
    if not refs:
        return f"there is no artifact in {store.root}"
    if Path(text).is_file():
        return f"no artifact in {store.root} has a file like {text}: deleted, or of another store"
    # Names are cut to the text's length: the rest of a key would only lower the ratio.
    ratio = {r: SequenceMatcher(None, text, _name(r)[: len(text)]).ratio() for r in refs}
    close = sorted((r for r in refs if ratio[r] >= SIMILAR), key=lambda r: -ratio[r])
    stages = sorted({ref.stage for ref in refs})
    known = _listed(store, close) if close else f"there are {', '.join(stages)}"
    return f"no artifact {text} in {store.root}: {'similar are ' if close else ''}{known}"


def _listed(store: Store, refs: Sequence[Ref]) -> str:
    def described(ref: Ref) -> str:
        manifest = store.manifest(ref)
        return f"{ref} ({manifest.name}, {manifest.made_at})" if manifest else str(ref)

    # Only those that are listed: a manifest may be at a remote.
    texts = [described(ref) for ref in refs[:MAX_LISTED]]
    return first_of([*texts, *map(str, refs[MAX_LISTED:])], MAX_LISTED)


def _made_at(store: Store, ref: Ref) -> str:
    manifest = store.manifest(ref)
    return manifest.made_at if manifest else ""


def _name(ref: Ref) -> str:
    return f"{ref.stage}/{ref.key}"
