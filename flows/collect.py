"""The flow `collect`: downloads what a recipe selects from Xeno-canto into a folder.

Search, select, download; each only as far as it is not done already. Run alone or before the
pipeline, by hand or every night.
"""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.futures import wait
from prefect.runtime import deployment, flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from birdcore.archives.folder import failures
from birdcore.archives.partial import sweep
from birdcore.archives.search import queries_of
from birdcore.archives.selection_state import (
    chosen_path,
    missing,
    tables_of,
    update_selection,
    write_failed,
)
from birdcore.config import XenoCanto, read_recipe
from birdcore.sources.collection import competition_of
from birdcore.sources.tables import read_tables
from birdcore.text import plain_text
from flows.messages import failure_of
from tasks.archive import download, search, set_limit
from tasks.stop import end_with_starter, report_crash, stopping

SHARD = 50
"""Recordings of one download task: about a minute of work at one request a second."""


class CollectFailed(RuntimeError):
    """Searches or downloads failed; the message names each with its reason."""


def _title() -> str:
    return f"collect {Path(flow_run.parameters['recipe']).stem}"


@flow(
    name="collect",
    flow_run_name=_title,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]
)
def collect(
    recipe: str,
    data: str,
    collection: str = "collection",
    settings: list[str] = [],  # noqa: B006
) -> dict[str, Any]:
    """Fetch what is new, and say what came of it.

    Args:
        recipe: Path of the recipe, a TOML file.
        data: The competition's BirdCLEF+ folder.
        collection: Folder of the recordings.
        settings: KEY=VALUE over the recipe's own.
    """
    if deployment.id:
        end_with_starter(lambda: report_crash(flow_run.id))
    criteria = read_recipe(Path(recipe), settings).xeno_canto
    if criteria is None:
        raise ValueError(
            f"{recipe} has no table [xeno_canto], which selects the recordings to download"
        )
    stopping.clear()
    try:
        return _collect(criteria, Path(data), Path(collection))
    except BaseException:
        stopping.set()
        raise


def _collect(criteria: XenoCanto, data: Path, folder: Path) -> dict[str, Any]:
    log = get_run_logger()
    set_limit(criteria.per_second)
    searches = [
        search.submit(
            query, criteria.site, str(folder), 3600 * criteria.search_age_h, criteria.per_page
        )
        for query in queries_of(criteria)
    ]
    wait(searches)
    _refuse_failed(searches)
    competition = competition_of(read_tables(data))
    selected = update_selection(folder, criteria, competition)
    sweep(folder)
    todo = [record.id for record in missing(folder, selected.chosen)]
    log.info(
        "%d recordings wanted, %d left out, %d to fetch",
        len(selected.chosen), len(selected.left_out), len(todo),
    )  # fmt: skip
    chosen = str(chosen_path(folder, criteria, competition))
    downloads = [
        download.submit(at // SHARD, todo[at : at + SHARD], chosen, criteria.site, str(folder))
        for at in range(0, len(todo), SHARD)
    ]
    wait(downloads)
    not_there = write_failed(folder, criteria, competition)
    left_out, lacking = tables_of(folder, criteria, competition)
    for why, count in not_there.items():
        log.warning("%d not to be had: %s", count, plain_text(why))
    failed = [
        {"recording": f"XC{f.id}", "why": plain_text(f.reason)} for f in failures(folder).values()
    ]
    if failed:
        create_table_artifact(failed, key="failed", description="Recordings that can't be had")
    _refuse_failed(downloads)
    if selected.chosen and sum(not_there.values()) == len(selected.chosen):
        raise CollectFailed(
            f"none of {len(selected.chosen)} recordings could be had, "
            f"most of them: {next(iter(not_there))}; {lacking} has them all"
        )
    results = [each.result() for each in downloads]
    return {
        "wanted": len(selected.chosen),
        "left_out": len(selected.left_out),
        "fetched": sum(r["fetched"] for r in results),
        "bytes": sum(r["bytes"] for r in results),
        "not_there": sum(not_there.values()),
        "tables": f"{left_out}, {lacking}",
    }


def _refuse_failed(futures: list[Any]) -> None:
    if reasons := [why for future in futures if (why := failure_of(future.state)) is not None]:
        raise CollectFailed("\n".join(dict.fromkeys(reasons)))
