"""Which artifact a person means: by name, by a path into the store, by a file that a run left.

A run's results do not name their artifacts, but they are copies: the sha256 that a manifest keeps
of each file tells which artifact a file is of.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from birdcore.store.artifact import MANIFEST, Ref
from birdcore.store.files import file_sha256
from birdcore.store.store import Store
from birdcore.store.transfer import remote_refs

MOST = 5
"""Names that a refusal lists."""
NEAR = 0.6


def artifact_of(store: Store, text: str) -> Ref:
    """The artifact whose `stage/key` begins with `text`, or that the path `text` is of.

    Raises ValueError, with near names, where there is none, or more than one.
    """
    refs = _known(store)
    found = [ref for ref in refs if _name(ref).startswith(text)]
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
    near = {ref for ref in named if ref is not None}
    return sorted(near.union(remote_refs(store.remote) if store.remote is not None else ()))


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
    # A name that is cut where the text ends, or keys would count for how unlike they are.
    near = {r: SequenceMatcher(None, text, _name(r)[: len(text)]).ratio() for r in refs}
    close = sorted((r for r in refs if near[r] >= NEAR), key=lambda r: -near[r])
    stages = sorted({ref.stage for ref in refs})
    known = _listed(store, close) if close else f"there are {', '.join(stages)}"
    return f"no artifact {text} in {store.root}: {'near it ' if close else ''}{known}"


def _listed(store: Store, refs: Sequence[Ref]) -> str:
    more = f" and {len(refs) - MOST} more" if len(refs) > MOST else ""
    return ", ".join(_described(store, ref) for ref in refs[:MOST]) + more


def _described(store: Store, ref: Ref) -> str:
    manifest = store.manifest(ref)
    return f"{ref} ({manifest.name}, {manifest.made_at})" if manifest else str(ref)


def _made_at(store: Store, ref: Ref) -> str:
    manifest = store.manifest(ref)
    return manifest.made_at if manifest else ""


def _name(ref: Ref) -> str:
    return f"{ref.stage}/{ref.key}"
