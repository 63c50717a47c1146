"""Environment variables for Prefect: which ones its clients and our own server receive.

A user's own Prefect server is used with all of the user's settings. birdflow's server and its
clients receive only the settings below: an inherited PREFECT_SERVER_DATABASE_CONNECTION_URL would
point the server at another database, and a PREFECT_API_KEY or a proxy would break the clients.
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
    # A run without heartbeats has crashed (flows/server_setup.py).
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
SERVER_SETTINGS = {
    # Relative to the server's working folder, so that no special character of a path is in the URL.
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///prefect.db",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # On disk, so that a server that was killed still knows the holders of concurrency slots.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # Removed after: events a week, heartbeats a day, runs 90 days.
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "7776000",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": (
        '{"prefect.flow-run.heartbeat": 86400}'
    ),
    # Larger batches halve the lag of SQLite when many tasks report at once.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}
KEPT = ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_COLORS", "PREFECT_LOGGING_HANDLERS_CONSOLE_")
"""Prefixes of the user's settings that our clients keep: those of the console log."""


def users_server() -> str | None:
    """The API address of the user's own server, from the environment or the active profile."""
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
    """Add the settings that birdflow's clients need where the user has not set them."""
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)


def use_own_server(home: Path, url: str, login: str) -> None:
    """Make this process and its children clients of birdflow's own server only.

    Args:
        home: The server's folder, which becomes PREFECT_HOME.
        url: Address of the server's API.
        login: The login as `user:password`.
    """
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        if not name.startswith(KEPT):
            del os.environ[name]
    os.environ.update(CLIENT_SETTINGS | _home(home))
    os.environ.update({"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": login})


def server_environment(home: Path, origin: str, login: str) -> dict[str, str]:
    """The environment of the process of birdflow's own server.

    Args:
        home: The server's folder.
        origin: Scheme, host and port of its pages.
        login: The login as `user:password`.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return (
        inherited
        | CLIENT_SETTINGS
        | SERVER_SETTINGS
        | _home(home)
        | {
            "PREFECT_SERVER_API_AUTH_STRING": login,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
            "PREFECT_UI_API_URL": f"{origin}/api",
            "PYTHONPATH": python_path(),
        }
    )


def python_path() -> str:
    """PYTHONPATH of a child process that works in another folder than this checkout."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def _home(home: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(home), "PREFECT_PROFILES_PATH": str(home / "profiles.toml")}


def keep_loopback_from_proxies() -> None:
    """Exclude loopback from the user's proxies, in addition to the exclusions that are set.

    A proxy that httpx can't use, such as SOCKS without the package socksio, is removed with a note:
    httpx would fail to make any client, also for addresses that are excluded.
    """
    given = [os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    hosts = [host.strip() for text in given for host in text.split(",") if host.strip()]
    merged = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = merged
    for kind, address in getproxies().items():
        if kind != "no" and (why := _unusable(address)):
            for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
                os.environ.pop(name, None)
            err.print(f"note: {kind}_proxy is ignored: {why}")


def _unusable(address: str) -> str | None:
    """Why httpx can't use a proxy, or None; without the address, which may contain a password."""
    try:
        url = address if "://" in address else f"http://{address}"
        httpx.HTTPTransport(proxy=httpx.Proxy(url)).close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        return str(error).splitlines()[0].replace(address, "it")
    return None
