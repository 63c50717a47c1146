"""`birdflow lineage`: from what a person names to a tree, and what is said where it can't be."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job, Store
from flows.cli import main


def submission(store: Store, rows: int, text: str, catalog: Ref) -> Ref:
    def run(job: Job) -> Metrics:
        (job.folder / "submission.csv").write_text(text)
        (job.folder / "rounds").mkdir()
        (job.folder / "rounds" / "first.csv").write_text(f"{text} of the first round")
        return {"rows": rows}

    step = Step("submission", 1, "submission", {"rows": rows}, {"catalog": (catalog,)})
    return store.make(step, run).ref


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def catalog(store: Store) -> Ref:
    metrics = {"recordings": 3, "usable": 2, "species": 1}
    return store.make(Step("catalog", 1, "catalog"), lambda job: metrics).ref


@pytest.fixture
def made(store: Store, catalog: Ref) -> Ref:
    return submission(store, 12, "row_id,a", catalog)


def said(capsys: pytest.CaptureFixture[str], store: Store, artifact: object) -> str:
    assert main(["lineage", str(artifact), "--store", str(store.root)]) == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], root: Path, artifact: object) -> str:
    """The one line that the command says as it fails."""
    assert main(["lineage", str(artifact), "--store", str(root)]) == 1
    answer = capsys.readouterr()
    assert not answer.out
    (line,) = answer.err.splitlines()
    return line.removeprefix("birdflow: ")


def test_a_name_or_how_it_begins_says_the_tree(
    store: Store, catalog: Ref, made: Ref, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = (
        f"submission {made.key[:12]} (12 rows)\n"
        f"└─ catalog {catalog.key[:12]} (3 recordings, 2 usable, 1 species)\n"
    )
    for name in (f"submission/{made.key}", str(made), f"submission/{made.key[:3]}", "sub"):
        assert said(capsys, store, name) == tree


def test_names_as_printed_are_taken(
    store: Store, catalog: Ref, made: Ref, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = said(capsys, store, made.key[:12])
    assert tree.startswith(f"submission {made.key[:12]}")
    step = store.make(Step("mel", 1, "mel train_audio/0003"), lambda job: {})
    assert step.ref.key[:12] in said(capsys, store, "mel train_audio/0003")


def test_a_path_into_the_store_says_the_tree(
    store: Store,
    made: Ref,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = store.path(made)
    monkeypatch.chdir(folder)
    for path in (folder, f"{folder}/", folder / "submission.csv", "rounds/first.csv", "."):
        assert said(capsys, store, path).startswith(str(made).replace("/", " "))


def test_a_run_s_results_are_known_by_their_content(
    store: Store, catalog: Ref, made: Ref, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission(store, 24, "row_id,b", catalog)
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(store.path(made) / "submission.csv", out / "submission.csv")
    shutil.copy(store.path(made) / "rounds" / "first.csv", out / "submission-first.csv")
    for path in out.iterdir():
        assert said(capsys, store, path).startswith(str(made).replace("/", " "))


def test_a_file_of_two_artifacts_is_refused_with_both(
    store: Store, catalog: Ref, made: Ref, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = submission(store, 24, "row_id,a", catalog)
    copy = Path(shutil.copy(store.path(made) / "submission.csv", tmp_path / "submission.csv"))
    line = refusal(capsys, store.root, copy)
    assert line.startswith(f"{copy} is any of 2 artifacts")
    assert str(made) in line
    assert str(other) in line


@pytest.mark.usefixtures("made")
def test_a_file_that_no_artifact_has_is_refused(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("of another run")
    assert refusal(capsys, store.root, path) == (
        f"no artifact in {store.root} has a file like {path}: deleted, or of another store"
    )


def test_a_name_of_many_is_refused_with_some_of_them(
    store: Store, catalog: Ref, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [submission(store, rows, "row_id", catalog) for rows in range(7)]
    line = refusal(capsys, store.root, "submission/")
    assert line.startswith("submission/ is any of 7 artifacts, the latest first: ")
    assert sum(str(ref) in line for ref in made) == 5
    assert line.endswith(" and 2 more")


def test_an_unknown_name_is_refused_with_near_ones(
    store: Store, made: Ref, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (f"submision/{made.key[:4]}", f"submission/{made.key[:4]}x"):
        line = refusal(capsys, store.root, name)
        assert line.startswith(
            f"no artifact {name} in {store.root}: similar are {made} (submission, "
        )
        assert "catalog" not in line


@pytest.mark.usefixtures("made")
def test_a_name_like_nothing_is_refused_with_the_stages(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, store.root, "zzz/0123") == (
        f"no artifact zzz/0123 in {store.root}: there are catalog, submission"
    )


def test_an_empty_store_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, store.root, "submission") == f"there is no artifact in {store.root}"


def test_a_store_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    assert refusal(capsys, nowhere, "submission").startswith(f"{nowhere} is not a store")
    assert not nowhere.exists()


def test_it_starts_without_torch_and_prefect(store: Store, made: Ref) -> None:
    code = (
        "import sys; from flows.cli import main; code = main(sys.argv[1:]); "
        "print({'torch', 'prefect', 'pandas'} & sys.modules.keys()); sys.exit(code)"
    )
    arguments = ["lineage", str(made), "--store", str(store.root)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
