"""`birdflow search`: what sounds like a clip, among all that a teacher has heard."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import Debug, StoreUrl
from flows.terminal import doing, ends_on_interrupt, err, out
from flows.time_left import progress_of

if TYPE_CHECKING:
    from birdcore.csv_table import Problem
    from birdcore.detection.clip import HeardClip
    from birdcore.detection.table import Species
    from birdcore.store.artifact import Artifact
    from birdcore.store.store import Store
    from birdcore.teachers import ExternalTeacher
    from flows.search import Heard

FEW = 3


def search(
    clip: Annotated[
        Path,
        typer.Argument(
            metavar="CLIP",
            help="A recording of the sound, of any format that training reads.",
            show_default=False,
        ),
    ],
    *,
    where: Annotated[
        Path,
        typer.Option(
            "--in",
            metavar="RUN|FOLDER",
            help="A run's results folder, whose teacher has heard its recordings; or a folder of "
            "recordings, which are heard first.",
            show_default=False,
        ),
    ],
    start: Annotated[
        float, typer.Option(metavar="S", min=0, help="Where in the clip the sound begins, seconds.")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="Where it ends.", show_default=False),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="SPECIES",
            help="What the sound is: a class of the run, or any name. A verdict of yes is a label "
            "of it.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Windows in the list.")] = 100,
    to: Annotated[Path, typer.Option("--out", metavar="FILE", help="The list, a CSV.")] = Path(
        "nearest.csv"
    ),
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who hears a folder, birdnet by default, or which of several teachers of a run; "
            "the TOML that describes it, where it is no part of birdflow.",
            show_default=False,
        ),
    ] = None,
    store: StoreUrl = "store",
    debug: Debug = False,
) -> None:
    """List the windows of recordings that sound most like a clip, for `birdflow review`.

    A folder is heard once, into the store; stopped or killed, the same command goes on.
    """
    from birdcore.detection.nearest_list import check_replaceable

    check_replaceable(to)
    if not clip.is_file():
        raise ValueError(f"{clip}: there is no such file")
    if not where.is_dir():
        raise ValueError(f"{where} is neither a run's results folder nor a folder of recordings")
    with doing("opening the teacher"):
        from birdcore.config.external_teacher import BIRDNET
        from birdcore.detection.clip import hear_clip
        from birdcore.detection.nearest_list import nearest_windows, write_nearest_list
        from birdcore.stages.embedding_index import WINDOWS
        from birdcore.store.location import open_store
        from birdcore.teachers import teacher_named
        from flows.commands.store import existing_store
        from flows.result_folder import is_results
        from flows.search import heard_by_run, heard_in_folder

        of_run = is_results(where)
        opened = existing_store(store) if of_run else open_store(store)
        heard = heard_by_run(opened, where, teacher) if of_run else None
        who = heard.teacher if heard else teacher_named(teacher or BIRDNET)
        wanted = hear_clip(clip, who, start, end)
    with ends_on_interrupt():
        if heard is None:
            with progress_of(f"hearing {where}") as show:
                heard = heard_in_folder(opened, where, who, show)
            _note_set_aside(heard.set_aside)
        index = _index(opened, heard)
        with doing("searching"):
            places = heard.in_order
            found = nearest_windows(index.folder, index / WINDOWS, places, wanted.embedding, top)
    write_nearest_list(to, found, _species(where, label, clip), who.name, clip)
    out.print(f"sound    {_sound(clip, wanted, who)}")
    windows, recordings = (index.metrics[name] for name in ("windows", "recordings"))
    out.print(
        f"nearest  {len(found):,} of {windows:,} windows of {recordings:,} recordings, "
        f"cosine {found[0].similarity:.3f} to {found[-1].similarity:.3f}"
    )
    out.print(f"list     {to}")
    out.print(f"review   birdflow review {to} --choose rare")


def _index(store: Store, heard: Heard) -> Artifact:
    """The index of what was heard: the one in the store, or made now."""
    from birdcore.stages.table import make

    step = heard.index
    if store.manifest(step.ref) is not None and store.find(step.ref) is None:
        err.print("note: the index is damaged, and is made again")
    with progress_of("indexing") as show:
        return make(step, store, show, refresh=False)


def _sound(clip: Path, wanted: HeardClip, teacher: ExternalTeacher) -> str:
    """What of the clip is searched for."""
    said = f"{wanted.start_s:.2f} to {wanted.end_s:.2f} s of {clip}"
    if wanted.others:
        said += f", where {teacher.name} is surest ({wanted.species}, {wanted.probability:.2f}); "
        return said + "give --start and --end for another part"
    if wanted.end_s - wanted.start_s < teacher.window_s:
        said += f", repeated to the {teacher.window_s:g} s of a window"
    return said


def _species(where: Path, label: str | None, clip: Path) -> Species:
    """The species of a label, by any of its names where the run knows it."""
    from birdcore.detection.species_list import CLASSES_FILE, read_classes
    from birdcore.detection.table import Species
    from birdcore.text import plain_text

    name = plain_text(label or f"like {clip.stem}")
    table = where / "model" / CLASSES_FILE
    if label and table.is_file():
        import pandas as pd

        codes = pd.read_csv(table, dtype="str", keep_default_na=False)["class"].tolist()
        for one in read_classes(table.parent, codes):
            names = (one.code, one.scientific_name, one.common_name)
            if name.casefold() in map(str.casefold, names):
                return one
    return Species(name, name, name)


def _note_set_aside(problems: Iterable[Problem]) -> None:
    from birdcore.text import first_of

    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.problem, []).append(problem.where)
    for kind, names in kinds.items():
        err.print(f"note: not heard: {kind}: {first_of(names, FEW)}")
