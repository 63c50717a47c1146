"""What the environment may say to Prefect, and what it may not.

A user's own Prefect server is used with all of their settings. Our own server and its clients
get ours and nothing else: a leftover PREFECT_SERVER_DATABASE_CONNECTION_URL would lead the server
to another database, a PREFECT_API_KEY or a proxy our clients to nowhere.
"""

import os
import tomllib
from pathlib import Path
from urllib.request import getproxies

import httpx

from flows.terminal import err

ROOT = Path(__file__).parents[1]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
CLIENT_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # A run that is not heard of has crashed (flows/server_setup.py).
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
SERVER_SETTINGS = {
    # The working folder of the server is its own: no path can break the URL.
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///prefect.db",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # A server that was killed knows who has the slots of its limits.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # What is older goes: events after a week, heartbeats after a day, runs after 90 days.
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "7776000",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": (
        '{"prefect.flow-run.heartbeat": 86400}'
    ),
    # Bursts of tasks on SQLite: half the lag of the defaults.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}
KEPT = ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_COLORS", "PREFECT_LOGGING_HANDLERS_CONSOLE_")
"""Settings of the user, by how they begin, that our clients keep: what stands on the terminal."""


def users_server() -> str | None:
    """The API address that the user's environment or active profile names."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
        active = os.environ.get("PREFECT_PROFILE", profiles.get("active"))
        url = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    except (OSError, ValueError, AttributeError):
        return None
    return str(url) if url else None


def use_users_server() -> None:
    """Add what birdflow's clients need to the user's settings, which come first."""
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)


def use_own_server(home: Path, url: str, login: str) -> None:
    """Let this process and its children be clients of our own server and of no other."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        if not name.startswith(KEPT):
            del os.environ[name]
    os.environ.update(CLIENT_SETTINGS | _home(home))
    os.environ.update({"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": login})


def server_environment(home: Path, origin: str, login: str) -> dict[str, str]:
    """The environment of our own server's process."""
    theirs = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return (
        theirs
        | CLIENT_SETTINGS
        | SERVER_SETTINGS
        | _home(home)
        | {
            "PREFECT_SERVER_API_AUTH_STRING": login,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
            "PREFECT_UI_API_URL": f"{origin}/api",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),  # its working folder is another
        }
    )


def _home(home: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(home), "PREFECT_PROFILES_PATH": str(home / "profiles.toml")}


def keep_loopback_from_proxies() -> None:
    """No proxy stands between processes of one machine; the user's other exceptions stay.

    A proxy that httpx can't use, such as one of SOCKS without the package socksio, is left out
    with a note: it would break each client, whatever the exceptions say.
    """
    given = [os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    hosts = [host.strip() for text in given for host in text.split(",") if host.strip()]
    merged = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = merged
    for kind, address in getproxies().items():
        if kind != "no" and (why := _unusable(address)):
            for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
                os.environ.pop(name, None)
            err.print(f"note: {kind}_proxy is left out: {why}")


def _unusable(address: str) -> str | None:
    """Why httpx takes no such proxy, or None; the address itself may hold a password."""
    try:
        url = address if "://" in address else f"http://{address}"
        httpx.HTTPTransport(proxy=httpx.Proxy(url)).close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        return str(error).splitlines()[0].replace(address, "it")
    return None
