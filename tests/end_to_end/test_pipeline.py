"""The whole pipeline on a tiny model, through the real DVC, Prefect and MLflow.

The tests of this file go on in one checkout, in this order.
"""

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from typing import Any

import pandas
import pytest

from tests.checkouts import Project, set_in
from tests.processes import BIN, PATIENCE, free_port, served

TEXT = "Angela Merkel visited Siemens in Munich."


@pytest.fixture(scope="module")
def first(project: Project) -> Any:
    """The first run, on a temporary Prefect server of its own, behind proxies that do not answer."""
    proxies = {"HTTP_PROXY": f"http://127.0.0.1:{free_port()}", "ALL_PROXY": f"socks://127.0.0.1:{free_port()}"}
    finished = project.tuneline("run", "--json", PREFECT_API_URL="", **proxies)
    assert "starting a temporary Prefect server" in finished.stderr
    assert "kept epoch" in finished.stderr
    return json.loads(finished.stdout)


def test_first_run_executes_all_stages_and_registers_a_model(project: Project, first: Any) -> None:
    assert first["executed"] == ["tokenize", "train", "evaluate", "register"]
    assert (first["restored"], first["fresh"]) == ([], [])
    assert (first["model"]["name"], first["model"]["version"]) == ("tiny-ner", 1)
    listed = project.json("models")["models"]
    assert [(v["version"], v["aliases"], v["digest"]) for v in listed] == [
        (1, ["challenger"], first["model"]["digest"])
    ]
    metrics = json.loads((project.folder / "data/report/metrics.json").read_text())
    assert listed[0]["scores"]["test"] == metrics["test"]["entity_strict"]["micro"]["f1"]


def test_second_run_executes_nothing_and_starts_no_server(project: Project, first: Any) -> None:
    finished = project.tuneline("run", "--json", PREFECT_API_URL="")
    assert finished.stderr == ""
    again = json.loads(finished.stdout)
    assert again["fresh"] == ["tokenize", "train", "evaluate", "register"]
    assert (again["executed"], again["model"]) == ([], first["model"])


def test_a_person_is_told_the_scores_and_what_to_do_next(project: Project, first: Any) -> None:
    shown = project.tuneline("run").stdout
    for words in ("Nothing to do", "dev       entity F1", "test      entity F1", "tiny-ner version 1", "Next:"):
        assert words in shown


def test_what_no_stage_reads_makes_nothing_stale(project: Project, first: Any) -> None:
    for touched in ("README.md", "tests/test_params.py", "data/corpora/README.md", "data/corpora/demo/README.md"):
        with (project.folder / touched).open("a") as stream:
            stream.write("\n")
    stages = project.call_json("status")["stages"]
    assert {name: stage["because"] for name, stage in stages.items() if not stage["fresh"]} == {}


def test_status_names_the_parameter_that_changed(project: Project, first: Any) -> None:
    with set_in(project.folder, "train.epochs=3"):
        stages = project.call_json("status")["stages"]
    assert stages["tokenize"]["fresh"]
    assert stages["train"] == {"fresh": False, "because": ["train.epochs: 5 -> 3"]}
    assert stages["evaluate"] == {"fresh": False, "because": ["train runs first"]}


def test_status_names_the_file_that_changed(project: Project, first: Any) -> None:
    source = project.folder / "stages/evaluate.py"
    text = source.read_text()
    source.write_text(text + "\n")
    stages = project.call_json("status")["stages"]
    source.write_text(text)
    assert stages["train"]["fresh"]
    assert stages["evaluate"]["because"] == ["stages/evaluate.py changed"]


def test_an_evaluate_knob_leaves_train_alone(project: Project, first: Any, prefect_api: str) -> None:
    report = project.json("run", "--set", "evaluate.precision=fp32", PREFECT_API_URL=prefect_api)
    assert "evaluate" in report["executed"]
    assert report["fresh"][:2] == ["tokenize", "train"]
    assert report["model"] == first["model"]
    request = urllib.request.Request(
        f"{prefect_api}/artifacts/filter", b"{}", {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        (artifact,) = [entry for entry in json.load(answer) if entry["key"] == "scores"]
    rows = json.loads(artifact["data"])
    metrics = json.loads((project.folder / "data/report/metrics.json").read_text())
    (micro,) = [row for row in rows if (row["split"], row["entities"]) == ("test", "all types")]
    assert micro["f1"] == f"{metrics['test']['entity_strict']['micro']['f1']:.4f}"


@dataclass(frozen=True)
class Tuned:
    """What `tuned` saw: the reports of its runs, and test F1 as it was committed before and after the first of them."""

    changed: Any
    back: Any
    f1_before: float
    f1_after: float


@pytest.fixture(scope="module")
def tuned(project: Project, first: Any, prefect_api: str) -> Tuned:
    """A run with another learning rate between two commits, HEAD~1 and HEAD, and then one with the first rate again."""

    def run(rate: float) -> Any:
        return project.json("run", "--set", f"train.learning_rate={rate}", PREFECT_API_URL=prefect_api)

    def committed() -> float:
        for command in (["add", "--all"], ["commit", "--quiet", "--message", "run"]):
            subprocess.run(["git", *command], cwd=project.folder, check=True, capture_output=True)
        metrics = json.loads((project.folder / "data/report/metrics.json").read_text())
        return float(metrics["test"]["entity_strict"]["micro"]["f1"])

    before = committed()
    changed = run(0.004)
    after = committed()
    return Tuned(changed, run(0.005), before, after)


def test_the_learning_rate_retrains_and_the_old_one_is_restored(project: Project, first: Any, tuned: Tuned) -> None:
    changed, back = tuned.changed, tuned.back
    assert changed["executed"] == ["train", "evaluate", "register"]
    assert changed["fresh"] == ["tokenize"]
    assert changed["model"]["version"] == 2
    assert back["restored"] == ["train", "evaluate"]
    assert back["model"] == first["model"]
    assert back["mlflow_run"] == first["mlflow_run"]
    aliases = {v["version"]: v["aliases"] for v in project.json("models")["models"]}
    assert aliases == {1: ["challenger"], 2: []}


def test_dvc_compares_metrics_and_draws_plots_between_two_commits(project: Project, tuned: Tuned) -> None:
    old, new = tuned.f1_before, tuned.f1_after
    # Without --all the diff leaves out what is the same, as the F1 of so tiny a model may be.
    difference = json.loads(project.command("dvc", "metrics", "diff", "--all", "HEAD~1", "HEAD", "--json").stdout)
    assert difference["data/report/metrics.json"]["test.entity_strict.micro.f1"] == {
        "old": old, "new": new, "diff": pytest.approx(new - old),
    }  # fmt: skip
    for name, command in (("show", ["show"]), ("diff", ["diff", "HEAD~1", "HEAD"])):
        project.command("dvc", "plots", *command, "--out", f"plots-{name}")
        page = (project.folder / f"plots-{name}/index.html").read_text()
        for plot in ("loss", "dev_score", "test_types", "test_confusion", "test_reliability"):
            assert plot in page
        assert "vega" in page


def test_what_a_run_tells_is_kept_by_the_server(tuned: Tuned, prefect_api: str) -> None:
    """The server's answer may be lost on the way; then what it kept of the run before is all that is to be had."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from pipeline.runs.flows import parse_outcome, parse_outcomes

    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        runs = client.read_flow_runs()  # those of other tests too, also ones that failed
    kept = [(run.name, run.state) for run in runs if run.state and run.state.is_completed()]
    assert {"train": "executed", "evaluate": "executed", "register": "executed"} in [
        parse_outcomes(state) for name, state in kept if name == "run"
    ]
    assert {"executed", "restored"} <= {parse_outcome(state) for name, state in kept if name == "train"}


def test_a_registry_that_has_not_seen_the_model_gets_it_whole(project: Project, first: Any, prefect_api: str) -> None:
    before = project.json("lineage", "tiny-ner/1")
    (project.folder / "mlflow.db").unlink()
    because = project.call_json("status")["stages"]["register"]["because"]
    assert because == ["the registry does not have this model as challenger or champion"]
    report = project.json("run", "--set", "register.auto_promote=true", PREFECT_API_URL=prefect_api)
    assert report["executed"] == ["register"]
    assert (report["model"]["version"], report["model"]["digest"]) == (1, first["model"]["digest"])
    assert report["mlflow_run"] != first["mlflow_run"]
    (listed,) = project.json("models")["models"]
    assert listed["scores"]
    assert listed["aliases"] == ["champion"]  # it was the run that promoted it
    after = project.json("lineage", "tiny-ner@champion")
    assert after["flow_run"] != before["flow_run"]
    for stage in ("tokenize", "train"):
        for fact in ("flow_run", "commit", "time"):
            assert after["stages"][stage]["made_by"][fact] == before["stages"][stage]["made_by"][fact]


def test_the_run_in_mlflow_holds_parameters_curves_metrics_and_datasets(project: Project, first: Any) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    (version,) = client.search_model_versions("name = 'tiny-ner'")
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train/learning_rate"] == "0.005"
    assert {i.dataset.name for i in run.inputs.dataset_inputs} == {"encoded/train", "encoded/dev", "encoded/test"}
    history = [json.loads(line) for line in (project.folder / "data/model/history.jsonl").read_text().splitlines()]
    curve = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in curve] == [(row["step"], row["loss"]) for row in history]
    assert len(client.get_metric_history(run.info.run_id, "dev/entity_strict_f1")) == 5
    assert "test/entity_strict/micro/f1" in run.data.metrics
    assert "test/errors/of_gold/missed" in run.data.metrics
    artifacts = {entry.path for entry in client.list_artifacts(run.info.run_id, "report")}
    assert {"report/report.html", "report/classification_report.txt"} <= artifacts


def test_predictions_count_what_the_scores_are_made_of(project: Project, first: Any) -> None:
    metrics = json.loads((project.folder / "data/report/metrics.json").read_text())
    assert metrics["dev"]["entity_strict"]["micro"]["f1"] > 0  # the tiny model has learnt something
    rows = pandas.read_parquet(project.folder / "data/report/predictions.parquet")
    for split in ("dev", "test"):
        of_split = rows[rows["split"] == split]
        micro = metrics[split]["entity_strict"]["micro"]
        assert len(of_split) == 40
        assert of_split["gold_entities"].sum() == micro["support"]
        predicted, correct = of_split["predicted_entities"].sum(), of_split["correct_entities"].sum()
        assert micro["precision"] == (correct / predicted if predicted else 0)
        assert micro["recall"] == correct / micro["support"]


def test_several_seeds_are_scored_and_kept_like_any_run(project: Project, first: Any, prefect_api: str) -> None:
    from mlflow import MlflowClient

    params = (project.folder / "params.yaml").read_bytes()
    report = project.json("run", "--seeds", "2", PREFECT_API_URL=prefect_api)
    assert (project.folder / "params.yaml").read_bytes() == params
    assert [entry["seed"] for entry in report["seeds"]] == [13, 14]
    assert report["seeds"][1]["executed"] == ["train", "evaluate"]
    assert report["model"] == first["model"]
    assert all(stage["fresh"] for stage in project.call_json("status")["stages"].values())
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (other_run,) = client.search_runs(experiments, "params.`train/seed` = '14'")
    for split in ("dev", "test"):
        one, other = (entry[split] for entry in report["seeds"])
        assert other == other_run.data.metrics[f"{split}/entity_strict/micro/f1"]
        assert report["mean"][split] == pytest.approx((one + other) / 2)
        assert report["deviation"][split] == pytest.approx(abs(one - other) / 2**0.5)
    again = project.json("run", "--seeds", "2", PREFECT_API_URL=prefect_api)
    assert again["seeds"][1]["restored"] == ["train", "evaluate"]
    assert (again["mean"], again["deviation"]) == (report["mean"], report["deviation"])


def test_champion_answers_over_http_what_predict_prints(project: Project, first: Any) -> None:
    port = free_port()
    uri = f"sqlite:///{project.folder}/mlflow.db"
    elsewhere = project.folder.parent / "serving"
    elsewhere.mkdir(exist_ok=True)
    command = [
        str(BIN / "mlflow"), "models", "serve", "--model-uri", "models:/tiny-ner@champion",
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with served(command, elsewhere, f"http://127.0.0.1:{port}/ping", MLFLOW_TRACKING_URI=uri):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": [TEXT, "cut within an emoji: \ud83d"]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            predictions = json.load(answer)["predictions"]
    assert len(predictions) == 2
    (project.folder / "lines.txt").write_text(f"{TEXT}\nnothing here\n")
    local = project.json("predict", "tiny-ner@champion", "lines.txt")["predictions"]
    assert [line["text"] for line in local] == [TEXT, "nothing here"]
    assert predictions[0] == local[0]["entities"]
    assert predictions[0]
    for entity in predictions[0]:
        assert TEXT[entity["start"] : entity["end"]] == entity["text"]
        assert 0 < entity["score"] <= 1
