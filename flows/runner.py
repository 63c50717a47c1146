"""Where a flow's tasks run, as BIRDFLOW_TASKS says: recipe and artifacts stay the same.

    threads                    of the flow's process; the default
    processes                  of this machine
    dask                       a Dask cluster of processes here, for as long as the flow runs
    dask=tcp://host:8786       a Dask cluster that there is, of any number of machines
    ray, ray=ray://host:10001  the same of Ray

Machines share a store at a URL (birdcore/store/location.py), and have the recordings under one
path.
"""

import os
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from tasks.stop import end_with_pool

NAME = "BIRDFLOW_TASKS"


def workers() -> int:
    """Tasks at once: BIRDFLOW_WORKERS, or one per core."""
    return int(os.environ.get("BIRDFLOW_WORKERS", 0)) or len(os.sched_getaffinity(0))


def threads() -> int:
    """Of torch for each task, wherever it runs: what a stage makes hangs on their number."""
    return max(1, len(os.sched_getaffinity(0)) // workers())


def task_runner(where: str | None = None) -> TaskRunner[Any]:
    """The task runner that BIRDFLOW_TASKS names.

    Raises ValueError where there is no such thing, or its package is not installed.
    """
    kind, _, address = (where or os.environ.get(NAME) or "threads").partition("=")
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=workers())
    if kind == "processes":
        return ProcessPoolTaskRunner(max_workers=workers(), initializer=end_with_pool)
    if kind == "dask":
        return _dask(address)
    if kind == "ray":
        return _ray(address)
    raise ValueError(f"{NAME} is {kind}: say threads, processes, dask or ray")


def _dask(address: str) -> TaskRunner[Any]:
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ValueError(f"{NAME}=dask needs: pip install 'birdflow[dask]'") from error
    if address:
        return DaskTaskRunner(address=address)
    here = {"n_workers": workers(), "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    # With certificates made for this cluster: a scheduler runs what it is sent, by any account.
    return DaskTaskRunner(cluster_kwargs=here | {"host": "127.0.0.1", "security": True})


def _ray(address: str) -> TaskRunner[Any]:
    try:
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise ValueError(f"{NAME}=ray needs: pip install 'birdflow[ray]'") from error
    here = {"num_cpus": workers(), "include_dashboard": False}
    runner: TaskRunner[Any] = RayTaskRunner(
        address=address or None, init_kwargs={} if address else here
    )
    return runner
