"""The environment of a company's network: what listens on this machine is asked without its proxy."""

import os
from collections.abc import Iterator
from unittest import mock

import httpx
import pytest
import requests

from stages.runtime.proxies import bypass_proxy_on_this_machine, drop_proxies_unknown_to_httpx, find_proxy

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxies() -> Iterator[None]:
    without = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with mock.patch.dict(os.environ, without, clear=True):
        yield


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("given", [{}, {"NO_PROXY": "intranet.example"}, {"no_proxy": "[::1], 10.0.0.0/8"}])
def test_no_client_asks_this_machine_through_a_proxy(variable: str, host: str, given: dict[str, str]) -> None:
    os.environ.update(given, **{variable: PROXY})
    bypass_proxy_on_this_machine()
    for scheme in ("http", "https"):
        url = f"{scheme}://{host}:4200/api"
        assert find_proxy(url) is None
        assert not requests.utils.get_environ_proxies(url)
        with httpx.Client() as client:
            assert client._transport_for_url(httpx.URL(url)) is client._transport


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_other_hosts_are_still_asked_through_the_proxy(variable: str) -> None:
    os.environ[variable] = PROXY
    bypass_proxy_on_this_machine()
    url = "http://mlflow.example:5000"
    assert find_proxy(url) == f"{variable}={PROXY}"
    assert PROXY in requests.utils.get_environ_proxies(url).values()
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL(url)) is not client._transport


@pytest.mark.parametrize(
    ("given", "lower", "upper"),
    [
        ({"NO_PROXY": "a.example, .b.example"}, "a.example,.b.example", "a.example,.b.example"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example", "b.example"),
        ({"no_proxy": ""}, "", ""),
    ],
)
def test_exceptions_of_the_user_are_kept(given: dict[str, str], lower: str, upper: str) -> None:
    os.environ.update(given, HTTP_PROXY=PROXY)
    bypass_proxy_on_this_machine()
    bypass_proxy_on_this_machine()
    added = "127.0.0.1,localhost,::1,0.0.0.0"
    assert os.environ["no_proxy"] == f"{lower},{added}".lstrip(",")
    assert os.environ["NO_PROXY"] == f"{upper},{added}".lstrip(",")


def test_an_exception_for_every_host_stays_alone() -> None:
    os.environ.update(HTTP_PROXY=PROXY, NO_PROXY="*")
    bypass_proxy_on_this_machine()
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == ("*", "*")
    assert find_proxy("http://mlflow.example") is None


def test_an_environment_without_proxies_is_left_alone() -> None:
    before = dict(os.environ)
    bypass_proxy_on_this_machine()
    assert dict(os.environ) == before


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "socks://127.0.0.1:1080", "SOCKS4://localhost:9"])
def test_a_proxy_that_httpx_does_not_know_is_dropped(address: str) -> None:
    os.environ.update(ALL_PROXY=address, http_proxy=PROXY, HTTPS_PROXY="proxy.example:3128")
    drop_proxies_unknown_to_httpx()
    assert "ALL_PROXY" not in os.environ
    assert (os.environ["http_proxy"], os.environ["HTTPS_PROXY"]) == (PROXY, "proxy.example:3128")
    httpx.Client().close()
