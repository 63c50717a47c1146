"""The test soundscapes, the rows that are asked for, and what does not fit between them."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from birdcore.sources.birdclef import Source
from birdcore.sources.row_names import decides_rows, refuse_one_for_two, row_names, stem_of
from birdcore.sources.tables import Problem

SAMPLE = "sample_submission.csv"
FOLDER = "test_soundscapes"


def rows_of(source: Source) -> dict[str, str]:
    """The name of each test soundscape's rows, by recording."""
    return row_names(file.path for file in source.audio.get("test_soundscapes", ()))


def sample_decides(source: Source) -> bool:
    """Whether sample_submission.csv says which rows are asked for.

    Raises TableError where a row could be that of two soundscapes.
    """
    row_ids, names = source.csv.row_ids, rows_of(source)
    refuse_one_for_two(str(source.root / SAMPLE), row_ids, names)
    return decides_rows(row_ids, names, _passed_over(source))


def soundscape_problems(source: Source) -> list[Problem]:
    """What does not fit between the soundscapes, the submission's rows and the training audio."""
    return [*_row_problems(source), *_leaked(source)]


def _row_problems(source: Source) -> Iterator[Problem]:
    names = rows_of(source)
    wanted = {stem_of(row) for row in source.csv.row_ids}
    unused = {PurePosixPath(path).stem: why for path, why in _passed_over(source).items()}
    if not names:
        yield Problem("no test soundscape", FOLDER, "the submission has a header and no rows")
    if wanted and not sample_decides(source):
        rows = f"the rows are those of the {len(names)} soundscapes in {FOLDER}"
        yield Problem("rows of no soundscape that is there", SAMPLE, rows)
    else:
        for stem in sorted(wanted - set(names.values())):
            if stem in unused:
                yield Problem("rows whose soundscape is passed over", SAMPLE, unused[stem])
            else:
                yield Problem("rows without a soundscape", SAMPLE, stem)
    for path, name in names.items():
        if name != PurePosixPath(path).stem:
            yield Problem("name of two soundscapes", path, f"its rows are called {name}_…")


def _passed_over(source: Source) -> dict[str, str]:
    """What is in the soundscapes' folder and no recording: path, and path with the reason."""
    return {
        problem.where: f"{problem.where}: {problem.problem}"
        for problem in source.problems
        if problem.where.startswith(f"{FOLDER}/")
    }


def _leaked(source: Source) -> Iterator[Problem]:
    trained = {
        file.sha256: file.path
        for kind in ("train_audio", "train_soundscapes")
        for file in source.audio[kind]
    }
    for file in source.audio["test_soundscapes"]:
        if (same := trained.get(file.sha256)) is not None:
            yield Problem("test recording in the training data", file.path, f"the same as {same}")
