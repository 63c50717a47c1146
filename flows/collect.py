"""The flow `collect`: downloads what a recipe selects from public archives into a folder.

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

from birdcore.archives.folder import failures, folder_of, name_of
from birdcore.archives.partial import sweep
from birdcore.archives.search import queries_of
from birdcore.archives.selection_state import (
    chosen_path,
    missing,
    tables_of,
    update_selection,
    write_failed,
)
from birdcore.config import Criteria, read_recipe
from birdcore.sources.collection import competition_of
from birdcore.sources.tables import Tables, read_tables
from birdcore.text import plain_text
from flows.messages import failure_of
from flows.request import archives_of
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
    archives = archives_of(read_recipe(Path(recipe), settings), recipe)
    stopping.clear()
    try:
        tables = read_tables(Path(data))
        counts, failed = [], []
        for criteria in archives:
            folder = folder_of(Path(collection), criteria.table)
            try:
                counts.append(_collect(criteria, tables, folder))
            except CollectFailed as error:  # another archive may be there
                failed.append(str(error))
        if failed:
            raise CollectFailed("\n".join(failed))
        return _sums(counts)
    except BaseException:
        stopping.set()
        raise


def _sums(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of all archives together, and where all of their tables are."""
    numbers = ("wanted", "left_out", "fetched", "bytes", "not_there")
    sums = {name: sum(each[name] for each in counts) for name in numbers}
    return sums | {"tables": ", ".join(each["tables"] for each in counts)}


def _collect(criteria: Criteria, tables: Tables, folder: Path) -> dict[str, Any]:
    log, source = get_run_logger(), criteria.data()
    set_limit(source, criteria.per_second)
    age_s = 3600 * criteria.search_age_h
    searches = [
        search.submit(query, source, criteria.site, str(folder), age_s, criteria.per_page)
        for query in queries_of(criteria)
    ]
    wait(searches)
    _refuse_failed(searches)
    competition = competition_of(tables, criteria)
    selected = update_selection(folder, criteria, competition)
    sweep(folder)
    todo = [record.id for record in missing(folder, selected.chosen)]
    log.info(
        "%s: %d recordings wanted, %d left out, %d to fetch", criteria.title,
        len(selected.chosen), len(selected.left_out), len(todo),
    )  # fmt: skip
    chosen = str(chosen_path(folder, criteria, competition))
    downloads = [
        download.submit(
            at // SHARD, todo[at : at + SHARD], chosen, source, criteria.site, str(folder)
        )
        for at in range(0, len(todo), SHARD)
    ]
    wait(downloads)
    not_there = write_failed(folder, criteria, competition)
    left_out, lacking = tables_of(folder, criteria, competition)
    for why, count in not_there.items():
        log.warning("%d not to be had: %s", count, plain_text(why))
    failed = [
        {"recording": name_of(folder, f.id), "why": plain_text(f.reason)}
        for f in failures(folder).values()
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
