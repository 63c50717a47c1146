"""Register the deployments of deployments/prefect.yaml and keep what users changed in the UI.

This is a three-way merge of each field: the value that birdflow registered last (kept in a label of
the deployment), the value on the server, and the value in the file. Where the server differs from
what was registered, a user changed it, and it stays; all other fields follow the file. One request
writes a deployment with its label, so a deployment is never written in part.
Set Prefect's server before importing this module.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentCreate, DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema_from_entrypoint

from birdcore import __version__

LABEL = "birdflow.registered"
OURS = ("version", "entrypoint", "pull_steps", "parameter_openapi_schema")
"""Fields that belong to the code: they always follow it."""
SAME = (*OURS, "name", "description", "tags", "parameters", "work_pool_name", "job_variables")
"""Fields that Prefect names as we do."""
PER_KEY = ("parameters", "job_variables", "schedules")
MISSING = object()

Spec = dict[str, Any]
"""A deployment as plain values, with its schedules by slug."""


def read_deployments(file: Path, root: Path) -> dict[str, Spec]:
    """Read the deployments of a file.

    Args:
        file: deployments/prefect.yaml.
        root: The checkout's folder, which the file calls BIRDFLOW_HOME.

    Returns:
        Deployments by `flow/name`.
    """
    variables = {"{{ $BIRDFLOW_HOME }}": str(root), "{{ $BIRDFLOW_VERSION }}": __version__}
    listed = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
    specs = [_spec(_filled(one, variables), root) for one in listed]
    return {f"{spec['entrypoint'].rpartition(':')[2]}/{spec['name']}": spec for spec in specs}


def register(
    client: SyncPrefectClient, title: str, new: Spec, say: Callable[[str], object]
) -> None:
    """Create or update one deployment; every change is reported before it is made.

    Args:
        client: Prefect's client.
        title: The deployment's name as `flow/name`.
        new: What the file says.
        say: Prints a line.
    """
    try:
        found = client.read_deployment_by_name(title)
    except ObjectNotFound:
        say(f"registering deployment {title}")
        _write(client, title, new, record=new)
        return
    now, before = _current(found), _record(found)
    merged = merge(before or {k: v for k, v in now.items() if k not in PER_KEY}, now, new)
    merged |= {name: new[name] for name in OURS}
    known = new["parameter_openapi_schema"]["properties"]
    gone = [name for name in merged["parameters"] if name not in known]
    merged["parameters"] = {k: v for k, v in merged["parameters"].items() if k in known}
    changed, kept = list(differences(now, merged)), list(differences(new, merged))
    if changed:
        say(f"updating deployment {title}: {', '.join(changed)}")
        if kept:
            say(f"  keeping your changes: {', '.join(kept)}")
        if gone:
            say(f"  removing parameters that the flow no longer has: {', '.join(gone)}")
    if changed or before != _recorded(new):
        _write(client, title, merged, record=new)


def merge(before: Any, now: Any, new: Any) -> Any:
    """Three-way merge, key by key in mappings: `now` where it differs from `before`, else `new`."""
    if isinstance(now, dict) and isinstance(new, dict):
        was = before if isinstance(before, dict) else {}
        found = {
            key: merge(was.get(key, MISSING), now.get(key, MISSING), new.get(key, MISSING))
            for key in [*new, *(key for key in now if key not in new)]
        }
        return {key: value for key, value in found.items() if value is not MISSING}
    return new if now == before else now


def differences(one: Spec, other: Spec, path: str = "") -> Iterator[str]:
    """Dotted keys in which two deployments differ, such as `parameters.store`."""
    for key in dict.fromkeys([*one, *other]):
        a, b = one.get(key, MISSING), other.get(key, MISSING)
        if isinstance(a, dict) and isinstance(b, dict) and key != "parameter_openapi_schema":
            yield from differences(a, b, f"{path}{key}.")
        elif a != b:
            yield f"{path}{key}"


def _filled(value: Any, variables: dict[str, str]) -> Any:
    """A YAML value with its template variables replaced."""
    if isinstance(value, dict):
        return {key: _filled(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    return variables.get(value, value) if isinstance(value, str) else value


def _spec(one: Spec, root: Path) -> Spec:
    limit = one.get("concurrency_limit") or {}
    schema = parameter_schema_from_entrypoint(str(root / one["entrypoint"]))
    alike = ("name", "version", "entrypoint", "description", "tags", "parameters")
    return {name: one[name] for name in alike} | {
        "pull_steps": one["pull"],
        "parameter_openapi_schema": schema.model_dump_for_openapi(),
        "work_pool_name": one["work_pool"]["name"],
        "job_variables": one["work_pool"]["job_variables"],
        "concurrency_limit": limit.get("limit"),
        "collision_strategy": limit.get("collision_strategy"),
        "schedules": {
            schedule["slug"]: {
                "schedule": CronSchedule(
                    cron=schedule["cron"], timezone=schedule["timezone"]
                ).model_dump(mode="json"),
                "active": schedule["active"],
                "parameters": schedule.get("parameters", {}),
            }
            for schedule in one.get("schedules", [])
        },
    }


def _current(found: DeploymentResponse) -> Spec:
    limit, options = found.global_concurrency_limit, found.concurrency_options
    return {name: getattr(found, name) for name in SAME} | {
        "concurrency_limit": limit.limit if limit else None,
        "collision_strategy": options.collision_strategy.value if options else None,
        "schedules": {
            schedule.slug or f"id {schedule.id}": {
                "schedule": schedule.schedule.model_dump(mode="json"),
                "active": schedule.active,
                "parameters": schedule.parameters,
            }
            for schedule in found.schedules
        },
    }


def _recorded(spec: Spec) -> Spec:
    return {key: value for key, value in spec.items() if key not in OURS}


def _record(found: DeploymentResponse) -> Spec | None:
    """What birdflow registered last, or None where the deployment has no such label."""
    try:
        record: Spec = json.loads(str(found.labels[LABEL]))
    except (KeyError, ValueError):
        return None
    return record


def _write(client: SyncPrefectClient, title: str, spec: Spec, *, record: Spec) -> None:
    values = {key: spec[key] for key in spec if key not in ("collision_strategy", "schedules")}
    if strategy := spec["collision_strategy"]:
        values["concurrency_options"] = ConcurrencyOptions(collision_strategy=strategy)
    schedules = [
        DeploymentScheduleCreate(slug=None if slug.startswith("id ") else slug, **schedule)
        for slug, schedule in spec["schedules"].items()
    ]
    deployment = DeploymentCreate(
        flow_id=client.create_flow_from_name(title.partition("/")[0]),
        schedules=schedules,
        labels={LABEL: json.dumps(_recorded(record))},
        enforce_parameter_schema=True,
        **values,
    )
    answer = deployment.model_dump(mode="json", exclude_unset=True)
    client.request("POST", "/deployments/", json=answer).raise_for_status()
