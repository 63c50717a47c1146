"""The test soundscapes, the rows that are asked for, and what does not fit between them."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from birdcore.csv_table import Problem
from birdcore.sources.asked_rows import segment_and_class
from birdcore.sources.row_names import (
    decides_rows,
    number_and_site,
    refuse_one_for_two,
    row_names,
    stem_of,
)
from birdcore.sources.source import SAMPLE, STAND_INS, Source
from birdcore.unicode_names import nfc

NO_TEST = "no test soundscape"


def rows_of(source: Source) -> dict[str, str]:
    """The name of each test soundscape's rows, by recording."""
    paths = [file.path for file in source.subset("test").files]
    if _by_number_and_site(source):
        names = {path: number_and_site(path) for path in paths}
        if len(set(names.values())) == len(names):
            return names
    return row_names(paths)


def _by_number_and_site(source: Source) -> bool:
    """Whether rows are called as in 2021, by the first two parts of a soundscape's name."""
    return source.asked is not None and source.asked.form == "birds"


def sample_decides(source: Source) -> bool:
    """Whether a table, sample_submission.csv or test.csv, says which rows are asked for.

    Raises TableError where a row could be that of two soundscapes.
    """
    row_ids, names = source.row_ids, rows_of(source)
    refuse_one_for_two(str(source.root / table_of_rows(source)), row_ids, names)
    return decides_rows(row_ids, names, _passed_over(source))


def table_of_rows(source: Source) -> str:
    """The table that says which rows a submission has."""
    return (source.asked.table if source.asked is not None else "") or SAMPLE


def soundscape_problems(source: Source) -> list[Problem]:
    """What does not fit between the soundscapes, the submission's rows and the training audio."""
    return [*_row_problems(source), *_leaked(source)]


def _row_problems(source: Source) -> Iterator[Problem]:
    names, folder = rows_of(source), source.subset("test").name
    wanted, table = {stem_of(row) for row in source.row_ids}, table_of_rows(source)
    unused = {PurePosixPath(path).stem: why for path, why in _passed_over(source).items()}
    if not names:
        # Only a competition's folder has a place for them.
        where = "data.test sets none aside" if source.layout else folder
        yield Problem(NO_TEST, where, "the submission has a header and no rows")
    if wanted and not sample_decides(source):
        where = "that are predicted" if folder == STAND_INS else f"in {folder}"
        rows = f"the rows are those of the {len(names)} soundscapes {where}"
        yield Problem("rows of no soundscape that is there", table, rows)
    else:
        for stem in sorted(wanted - set(names.values())):
            if stem in unused:
                yield Problem("rows whose soundscape is passed over", table, unused[stem])
            else:
                yield Problem("rows without a soundscape", table, stem)
    if source.asked is not None and source.asked.form == "target":
        asked = {segment_and_class(nfc(row))[1] for row in source.asked.rows}
        for label in sorted(asked - set(source.labels)):
            yield Problem("rows of no class", table, f"{label}: no model knows it, they say no")
    for path, name in names.items():
        if name not in (PurePosixPath(path).stem, number_and_site(path)):
            yield Problem("name of two soundscapes", path, f"its rows are called {name}_…")


def _passed_over(source: Source) -> dict[str, str]:
    """What is in the soundscapes' folder and no recording: path, and path with the reason."""
    folder = source.subset("test").name
    return {
        problem.where: f"{problem.where}: {problem.problem}"
        for problem in source.problems
        if problem.where.startswith(f"{folder}/")
    }


def _leaked(source: Source) -> Iterator[Problem]:
    if source.subset("test").name == STAND_INS:
        return  # said of all of them already
    trained = {
        file.sha256: file.path
        for subset in source.subsets
        if subset.use != "test"
        for file in subset.files
    }
    for file in source.subset("test").files:
        if (trained_as := trained.get(file.sha256)) is not None:
            yield Problem(
                "test recording in the training data", file.path, f"the same as {trained_as}"
            )
