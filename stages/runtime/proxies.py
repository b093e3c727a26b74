"""A company's proxy: what listens on this machine is asked without it."""

import importlib.util
import os
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

THIS_MACHINE = ("127.0.0.1", "localhost", "::1", "0.0.0.0")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def bypass_proxy_on_this_machine() -> None:
    """Add this machine to NO_PROXY and no_proxy, of which each library reads another; what the user has set stays."""
    if not getproxies_environment():
        return  # on macOS, exceptions without a proxy would hide the proxy of the system's settings
    lower, upper = os.environ.get("no_proxy"), os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = _add_this_machine(upper if lower is None else lower)
    os.environ["NO_PROXY"] = _add_this_machine(lower if upper is None else upper)


def _add_this_machine(exceptions: str | None) -> str:
    hosts = [host.strip() for host in (exceptions or "").split(",") if host.strip()]
    if "*" in hosts:  # it counts only if it stands alone
        return "*"
    hosts = [host.removeprefix("[").removesuffix("]") for host in hosts]  # httpx fails on [::1]
    return ",".join(dict.fromkeys([*hosts, *THIS_MACHINE]))


def drop_proxies_unknown_to_httpx() -> None:
    """Remove the proxies that httpx cannot use: it would fail on one even for a host that needs none."""
    known = {"http", "https"} | ({"socks5", "socks5h"} if importlib.util.find_spec("socksio") else set())
    for name, value in list(os.environ.items()):
        if name.lower() in PROXIES and "://" in value and urlsplit(value).scheme not in known:
            del os.environ[name]


def find_proxy(url: str) -> str | None:
    """`NAME=ADDRESS` of the environment variable whose proxy is asked for this URL; None if there is no such one."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    for variable in (f"{parts.scheme}_proxy", "all_proxy"):
        for name in (variable, variable.upper()):
            if os.environ.get(name):
                return f"{name}={os.environ[name]}"
    return None
