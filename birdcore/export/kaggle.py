"""A bundle as a data set and an offline notebook of Kaggle, and its upload.

    BUNDLE/dataset-metadata.json        the bundle is the data set
    BUNDLE/requirements.txt             what a notebook's image may lack, and how to get its wheels
    BUNDLE/wheels/                      the wheels; whoever exports puts them there
    BUNDLE/notebook/kernel-metadata.json, predict.ipynb

The fields of both files are those of the `kaggle` client (documentation/datasets_metadata.md and
kernels_metadata.md in its repository). Nothing here talks to Kaggle but `push_bundle`, by that
client.
"""

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from birdcore.export.bundle_config import BundleConfig, read_config
from birdcore.export.kit.bundle import TEACHER
from birdcore.export.notebook_file import notebook
from birdcore.store.files import write_text

KIT = Path(__file__).parent / "kit"
DATASET_FILE, KERNEL_FILE = "dataset-metadata.json", "kernel-metadata.json"
REQUIREMENTS_FILE, WHEELS = "requirements.txt", "wheels"
NOTEBOOK, NOTEBOOK_FILE = "notebook", "predict.ipynb"
OWNER, SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]*", r"[a-z0-9]+(?:-[a-z0-9]+)*"
SHORTEST, LONGEST = 6, 42  # of a slug: Kaggle's titles have 6 to 50 letters, with " predict" too
READY_S, POLL_S = 900.0, 10.0
"""How long a data set may take until it can be used, and how often that is asked."""


@dataclass(frozen=True)
class KaggleIds:
    """Whose data set and notebook, what they are called, and for which competition.

    Example:
        >>> KaggleIds.parse("ann/warblers-v1", None).kernel_id
        'ann/warblers-v1-predict'
    """

    owner: str
    slug: str
    competition: str | None

    @classmethod
    def parse(cls, dataset: str, competition: str | None) -> Self:
        """From USER/SLUG and the competition's slug.

        Raises:
            ValueError: Kaggle would refuse one of them.
        """
        owner, _, slug = dataset.partition("/")
        if not (re.fullmatch(OWNER, owner) and re.fullmatch(SLUG, slug)):
            raise ValueError(
                f"--kaggle {dataset}: give USER/SLUG, where SLUG has small letters, digits and "
                "single dashes"
            )
        if not SHORTEST <= len(slug) <= LONGEST:
            raise ValueError(
                f"--kaggle {dataset}: the slug has {len(slug)} letters, Kaggle takes {SHORTEST} "
                f"to {LONGEST}"
            )
        if competition is not None and not re.fullmatch(SLUG, competition):
            raise ValueError(
                f"--competition {competition}: give the slug in the competition's address, such "
                "as birdclef-2025"
            )
        return cls(owner, slug, competition)

    @property
    def dataset_id(self) -> str:
        return f"{self.owner}/{self.slug}"

    @property
    def kernel_id(self) -> str:
        return f"{self.owner}/{self.slug}-predict"


def write_kaggle(bundle: Path, config: BundleConfig, ids: KaggleIds) -> None:
    """Lay a bundle out as a data set and a notebook.

    Args:
        bundle: The bundle's folder.
        config: The bundle's.
        ids: What both are called.
    """
    (bundle / NOTEBOOK).mkdir(exist_ok=True)
    (bundle / WHEELS).mkdir(exist_ok=True)
    write_text(bundle / DATASET_FILE, _json(dataset_metadata(config, ids)))
    write_text(bundle / REQUIREMENTS_FILE, requirements(config.engines))
    write_text(bundle / NOTEBOOK / KERNEL_FILE, _json(kernel_metadata(ids)))
    script = (KIT / "notebook.py").read_text(encoding="utf-8")
    write_text(bundle / NOTEBOOK / NOTEBOOK_FILE, notebook(script))


def dataset_metadata(config: BundleConfig, ids: KaggleIds) -> dict[str, Any]:
    """Fields of dataset-metadata.json."""
    learned = ", ".join(f"{count} {name or 'unknown'}" for name, count in config.licences.items())
    teacher, also = config.teacher, ""
    if teacher:
        has = "It holds" if teacher.included else "It needs"
        also = f"{has} the file of {teacher.name} by {teacher.author}, {teacher.licence}. "
    return {
        "title": ids.slug.replace("-", " "),
        "id": ids.dataset_id,
        "subtitle": "Models exported by birdflow, and a script that predicts offline",
        "description": (
            f"{len(config.classes)} classes. predict.py turns a folder of soundscapes into "
            f"submission.csv. {also}Licences of the recordings that trained the models: "
            f"{learned or 'not known'}. MODEL_CARD.md says what they ask for, ATTRIBUTION.csv "
            "names recordists."
        ),
        # Exactly one of Kaggle's names; "other": it is said in the description.
        "licenses": [{"name": "other"}],
    }


def kernel_metadata(ids: KaggleIds) -> dict[str, Any]:
    """Fields of kernel-metadata.json: a private notebook without GPU and network."""
    return {
        "id": ids.kernel_id,
        # Kaggle makes the slug of the title: it must be that of the id.
        "title": ids.kernel_id.partition("/")[2].replace("-", " "),
        "code_file": NOTEBOOK_FILE,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": False,
        "enable_internet": False,
        "dataset_sources": [ids.dataset_id],
        "competition_sources": [ids.competition] if ids.competition else [],
        "kernel_sources": [],
        "model_sources": [],
    }


def requirements(engines: Sequence[str]) -> str:
    """What `predict.py` imports; the engines as they were compared with birdflow here."""
    pinned = (f"{engine}=={version(engine).partition('-')[0]}\n" for engine in engines)
    return (
        "# What predict.py needs. A notebook without a network installs it from wheels/, which\n"
        "# this fills, for the Python of Kaggle's images (`!python --version` in a notebook):\n"
        f"#   {download_command(Path('.'))}\n"
        f"{''.join(pinned)}"
        "soundfile>=0.12\n"
        "numpy>=1.26\n"
    )


def download_command(bundle: Path) -> str:
    """The command that fills a bundle's `wheels/`, for Kaggle's machines."""
    platforms = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
    words = ["pip", "download", "--only-binary=:all:", "--python-version", "3.12"]
    words += [word for name in platforms for word in ("--platform", name)]
    words += ["-d", str(bundle / WHEELS), "-r", str(bundle / REQUIREMENTS_FILE)]
    return shlex.join(words)


def push_bundle(bundle: Path, sleep: Callable[[float], object] = time.sleep) -> str:
    """Upload a bundle and its notebook by the `kaggle` client, which has the credentials.

    Args:
        bundle: A folder that `write_kaggle` completed, with the wheels in it.
        sleep: Waits some seconds.

    Returns:
        What the client said last: where the notebook runs.

    Raises:
        ValueError: There is no client, or no data set or wheel in the folder.
        RuntimeError: The client failed; the message is its own.
    """
    client = find_client()
    check_pushable(bundle)
    dataset = json.loads((bundle / DATASET_FILE).read_text(encoding="utf-8"))["id"]
    # Folders are uploaded as zip files, which Kaggle unpacks under their names; tables as they are.
    options = ("-p", bundle, "--dir-mode", "zip", "--keep-tabular")
    if _kaggle(client, "datasets", "status", dataset, allowed_to_fail=True):
        _kaggle(client, "datasets", "version", *options, "-m", "exported by birdflow")
    else:
        _kaggle(client, "datasets", "create", *options)
    wait_until_ready(client, dataset, sleep)
    return _kaggle(client, "kernels", "push", "-p", bundle / NOTEBOOK)


def wait_until_ready(client: str, dataset: str, sleep: Callable[[float], object]) -> None:
    """Wait until Kaggle has unpacked a data set, so that a notebook can use it.

    Raises:
        RuntimeError: It can't be used, or not within `READY_S`.
    """
    waited, status = 0.0, ""
    while status != "ready":
        # Right after its creation a data set may not be known yet.
        status = _kaggle(client, "datasets", "status", dataset, allowed_to_fail=True).lower()
        if status == "error" or waited >= READY_S:
            raise RuntimeError(
                f"the data set {dataset} is {status or 'not there'!r} after {waited / 60:.0f} "
                "minutes, so its notebook is not pushed: see its page, and give --push again"
            )
        if status != "ready":
            sleep(POLL_S)
            waited += POLL_S


def find_client() -> str:
    """The path of the `kaggle` client.

    Raises:
        ValueError: It is not on PATH.
    """
    client = shutil.which("kaggle")
    if client is None:
        raise ValueError(
            "--push needs the kaggle client, which is not on PATH: pip install kaggle, and give "
            "it an API token"
        )
    return client


def check_pushable(bundle: Path) -> None:
    """Whether a folder holds all that a data set and its notebook need.

    Raises:
        ValueError: Something is not there.
    """
    if not (bundle / DATASET_FILE).is_file():
        raise ValueError(f"{bundle} has no {DATASET_FILE}: give --kaggle USER/SLUG first")
    if not any((bundle / WHEELS).glob("*.whl")):
        raise ValueError(
            f"{bundle / WHEELS} holds no wheel, and a notebook without network could not install "
            f"OpenVINO: {download_command(bundle)}"
        )
    teacher = read_config(bundle).teacher
    if teacher is None:
        return
    for name in teacher.files:
        if not (bundle / TEACHER / name).is_file():
            raise ValueError(
                f"{bundle / TEACHER / name} is not there, and the notebook needs it: it is "
                f"{teacher.name}'s, which the bundle was exported without"
            )


def _kaggle(client: str, *words: str | Path, allowed_to_fail: bool = False) -> str:
    """The last line that the client says; "" where it may fail and does.

    Refusals of Kaggle's leave its exit code at 0, and are a line with "error".
    """
    done = subprocess.run(
        [client, *map(str, words)], capture_output=True, stdin=subprocess.DEVNULL,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    failed = done.returncode != 0 or any(" error:" in line.lower() for line in lines)
    if failed and not allowed_to_fail:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or lines
        raise RuntimeError(f"kaggle {words[0]} {words[1]} failed: {said[-1] if said else 'silent'}")
    return "" if failed or not lines else lines[-1]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
