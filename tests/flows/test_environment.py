"""What the environment may say to our own server and to its clients."""

import os
import sys
from pathlib import Path
from urllib.request import proxy_bypass

import httpx
import pytest
import requests

from flows.environment import keep_loopback_from_proxies, server_environment, use_own_server

LOGIN = "birdflow:secretsecretsecretsec"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxies and nothing of Prefect; the environment is as before afterwards."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in list(os.environ):
        if name.lower() in NAMES or name.startswith("PREFECT_"):
            del os.environ[name]
    return monkeypatch


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "exceptions", ["", "intranet.example", "localhost", "a.example, .b.example,"]
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy_stands_before_loopback(
    bare: pytest.MonkeyPatch, name: str, exceptions: str, variable: str
) -> None:
    os.environ.update({name: "http://proxy.example:3128", variable: exceptions})
    keep_loopback_from_proxies()
    for host in filter(None, (one.strip(" .") for one in exceptions.split(","))):
        assert proxy_bypass(host)
    with httpx.Client(verify=False) as client:  # to read certificates takes long
        for host in ("127.0.0.1", "localhost"):
            url = f"http://{host}:4200/api"
            assert proxy_bypass(host)
            assert requests.utils.should_bypass_proxies(url, None)
            assert client._transport_for_url(httpx.URL(url)) is client._transport
        outside = httpx.URL("http://xeno-canto.example/")
        assert client._transport_for_url(outside) is not client._transport
    keep_loopback_from_proxies()
    assert os.environ["no_proxy"].count("127.0.0.1") == 1


@pytest.mark.parametrize("exceptions", ["*", "a.example,*"])
def test_who_has_no_proxy_for_anything_keeps_that(
    bare: pytest.MonkeyPatch, exceptions: str
) -> None:
    os.environ.update({"http_proxy": "http://proxy.example:3128", "NO_PROXY": exceptions})
    keep_loopback_from_proxies()
    assert proxy_bypass("anything.example")


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "gopher"])
def test_a_proxy_that_breaks_each_client_is_left_out_with_a_note(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, scheme: str
) -> None:
    bare.setitem(sys.modules, "socksio", None)  # as where httpx came without its extra
    os.environ[name] = f"{scheme}://me:password@127.0.0.1:9"
    keep_loopback_from_proxies()
    httpx.Client().close()
    said = capsys.readouterr().err
    assert f"note: {name.lower()} is ignored: " in said
    assert "password" not in said


def test_clients_of_our_own_server_have_our_settings_alone(bare: pytest.MonkeyPatch) -> None:
    kept = {"PREFECT_LOGGING_LEVEL": "DEBUG", "BIRDFLOW_TASKS": "processes", "OTHER": "1"}
    gone = dict.fromkeys(
        ("PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT__FLOW_RUN_ID", "PREFECT_SERVER_X"), "x"
    )
    os.environ.update(kept | gone)
    use_own_server(Path("/store/prefect"), "http://127.0.0.1:1/api", LOGIN)
    assert kept.items() <= os.environ.items()
    assert not gone.keys() & os.environ.keys()
    assert os.environ["PREFECT_API_AUTH_STRING"] == LOGIN
    made = server_environment(Path("/store/prefect"), "http://127.0.0.1:1", LOGIN)
    assert "PREFECT_LOGGING_LEVEL" not in made
    assert "PREFECT_API_URL" not in made
    assert made["OTHER"] == "1"
    assert made["PREFECT_SERVER_API_AUTH_STRING"] == LOGIN
    assert made["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:1"
