"""What `tuneline deploy` tells people to type on a worker's machine; tests/workers has a Prefect server."""

import pytest

from pipeline.cli.deploy import report_deployment
from pipeline.runs.deployments import DeploymentSpec
from stages.runtime.proxies import bypass_proxy_on_this_machine

SPEC = DeploymentSpec(
    flow="tuneline", name="tiny-ner", entrypoint="", pool="cpu", queue="default", concurrency_limit=1, tags=[],
    cron=None, timezone="UTC", parameters={}, variables={"MLFLOW_TRACKING_URI": "http://mlflow.example"},
)  # fmt: skip


@pytest.mark.parametrize("server", ["http://127.0.0.1:4200/api", "http://prefect.example:4200/api"])
def test_workers_ask_a_server_on_their_machine_without_the_proxy(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intranet.example")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.setenv("PREFECT_API_URL", server)
    bypass_proxy_on_this_machine()
    report_deployment([SPEC], [], missing=None, as_json=False)
    shown = capsys.readouterr().out
    assert f"export PREFECT_API_URL={server}\n" in shown
    assert ("  export no_proxy=intranet.example,127.0.0.1,localhost" in shown) == ("127.0.0.1" in server)
