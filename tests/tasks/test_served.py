"""The models of all tasks as MLflow serves them: what they take, what they answer, and that evaluate says the same."""

import json
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from mlflow.models.utils import load_serving_example
from mlflow.pyfunc import PyFuncModel, scoring_server

from stages.encoding.files import Manifest
from stages.encoding.texts import ANSWERS, AnswersName, text_schema, text_writer
from stages.modeling.classifier import labels_of
from stages.task import load_part, task_names
from stages.text_tasks.evaluation import predict_encoded
from stages.text_tasks.serving import TextModel
from stages.tracking.registry import SERVED_PACKAGES
from stages.training.evaluation import Evaluation
from tests.tasks.kinds import KINDS, OTHER, TEXT, Kind, describe_here, write_model

LONG = " ".join([TEXT, OTHER] * 20)  # several windows
ODD = ["", " \n", "\ufeff", "\ud83d", "\0", "\u0308", "\u200b", "👍🏽" * 100, "." * 1000, "a\tb\nc"]
PAIRED = [name for name, kind in KINDS.items() if kind.reads_pairs]
OF_TEXTS = [name for name, kind in KINDS.items() if kind.task in ("text_classification", "regression")]

Serve = Callable[..., PyFuncModel]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Callable[..., Path]:
    """Saves a model of a kind as it is registered, once; `decision` as for `write_model`."""

    @cache
    def save(name: str, **decision: Any) -> Path:
        folder, kind = tmp_path_factory.mktemp("saved"), KINDS[name]
        model = write_model(kind, folder / "model", tiny_pretrained, **decision)
        mlflow.pyfunc.save_model(str(folder / "served"), **describe_here(kind, model))
        return folder / "served"

    return save


@pytest.fixture(scope="module")
def serve(saved: Callable[..., Path]) -> Serve:
    @cache
    def load(name: str, **decision: Any) -> PyFuncModel:
        return mlflow.pyfunc.load_model(str(saved(name, **decision)))

    return load


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def close_to(answer: Any) -> Any:
    """The same answer, whose numbers may differ by what another batch rounds differently."""
    if isinstance(answer, dict):
        return {key: close_to(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [close_to(value) for value in answer]
    return pytest.approx(answer, rel=0.02, abs=0.02) if isinstance(answer, float) else answer


def test_lists_and_data_frames_get_the_same_answers(serve: Serve, name: str) -> None:
    model, inputs = serve(name), KINDS[name].inputs(TEXT, OTHER)
    answers = model.predict(inputs)
    assert json.loads(json.dumps(answers)) == answers
    assert len(answers) == 2
    frame = pd.DataFrame(inputs if KINDS[name].reads_pairs else {"text": inputs})
    assert model.predict(frame) == answers
    assert model.predict([]) == []


def test_the_example_in_the_registry_shows_what_the_model_takes(serve: Serve, name: str) -> None:
    model, kind = serve(name), KINDS[name]
    assert model.input_example == [kind.parts.presentation.make_sample(kind.config)]
    (field,) = model.metadata.get_input_schema().inputs
    assert set(field.to_dict().get("properties", {})) == ({"text", "pair"} if kind.reads_pairs else set())


def test_a_request_over_http_gets_the_same_answer(saved: Callable[..., Path], serve: Serve, name: str) -> None:
    """By the server that `mlflow models serve` starts."""
    model, kind = serve(name), KINDS[name]
    server = TestClient(scoring_server.init(model), headers={"Content-Type": "application/json"})
    example = load_serving_example(str(saved(name)))
    assert server.post("/invocations", content=example).json() == {"predictions": model.predict(model.input_example)}
    params = dict.fromkeys(kind.parts.presentation.SERVING_PARAMS, True)
    inputs = kind.inputs(TEXT, LONG, "cut within an emoji: \ud83d")
    asked = server.post("/invocations", content=json.dumps({"inputs": inputs, "params": params}))
    assert asked.json() == {"predictions": model.predict(inputs, params=params)}
    refused = server.post("/invocations", content='{"inputs": [5]}')
    assert refused.status_code == 400
    assert "Failed to validate data" in refused.json()["message"]


@pytest.mark.parametrize("name", OF_TEXTS)
def test_what_is_served_is_what_evaluate_says_to_the_last_bit(serve: Serve, name: str, tmp_path: Path) -> None:
    kind, own = KINDS[name], serve(name).unwrap_python_model().model.text_model
    inputs = kind.inputs(TEXT, OTHER, LONG, *(f"{TEXT} {number}" for number in range(20)))
    predictions = evaluate(kind, own, inputs, tmp_path)
    assert predictions.windows_E[2] > 2
    params = {"params": {"all_scores": True}} if kind.parts.presentation.SERVING_PARAMS else {}
    answers = serve(name).predict(inputs, **params)
    if kind.task == "regression":
        numbers = [answer.get("numbers", [answer]) for answer in answers]
        assert [[found["number"] for found in each] for each in numbers] == predictions.predicted_ED.tolist()
        return
    assert [list(answer["scores"].values()) for answer in answers] == predictions.probability_EC.tolist()
    labels = [{found["label"] for found in answer.get("labels", [answer])} for answer in answers]
    assert labels == [set(np.array(kind.labels)[predicted_C]) for predicted_C in predictions.predicted_EC]


def evaluate(kind: Kind, model: TextModel, inputs: list[Any], folder: Path) -> Any:
    """What evaluate predicts for a test split of these texts."""
    columns = [[each[key] for each in inputs] for key in ("text", "pair")] if kind.reads_pairs else [inputs]
    answers: AnswersName = "targets" if kind.task == "regression" else "labels"
    gold = pa.array([[0] * len(kind.labels)] * len(inputs), ANSWERS[answers])
    with text_writer(folder / "test.arrow", text_schema(answers)) as writer:
        writer.write_batch(model.encoder.encode(*(pa.array(column) for column in columns)).rows(answers=gold))
    manifest = Manifest(1, kind.task, labels_of(model.trained.model), {}, "", {}, {}, {})
    trained = model.trained
    found = Evaluation(trained.model, trained.compute, 4096, trained.record, [], folder, manifest)
    return predict_encoded(found, "test", load_part(kind.task, "model.inference").decide)


def test_an_answer_depends_on_its_own_text_alone(serve: Serve, name: str) -> None:
    """But for what sums of another size round differently, in bf16 where the machine computes in it."""
    model, inputs = serve(name), KINDS[name].inputs(TEXT, OTHER, LONG)
    assert [model.predict([each])[0] for each in inputs] == close_to(model.predict(inputs))


def test_any_text_is_answered_and_harms_no_other(serve: Serve, name: str) -> None:
    model, kind = serve(name), KINDS[name]
    answers = model.predict(kind.inputs(TEXT, *ODD, OTHER))
    assert len(answers) == len(ODD) + 2
    assert [answers[0], answers[-1]] == close_to(model.predict(kind.inputs(TEXT, OTHER)))
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers


@pytest.mark.parametrize(
    ("name", "given"),
    [(name, given) for name, kind in KINDS.items() for given in (
        (TEXT, {"text": TEXT}, {"text": TEXT, "pair": None}, 5) if kind.reads_pairs
        else ({"text": TEXT, "pair": OTHER}, 5, None, [TEXT])
    )],
)  # fmt: skip
def test_what_a_model_does_not_read_is_refused_as_the_clients_fault(serve: Serve, name: str, given: Any) -> None:
    with pytest.raises(MlflowException, match="Failed to validate data against type hint") as refused:
        serve(name).predict([*KINDS[name].inputs(TEXT), given])
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize("name", PAIRED)
def test_the_order_of_a_pair_matters_unless_it_is_symmetric(serve: Serve, name: str) -> None:
    pairs = [(TEXT, OTHER), (LONG, OTHER), (LONG, TEXT)]
    one, other = (
        serve(name).predict([{"text": first, "pair": second} for first, second in each])
        for each in (pairs, [(second, first) for first, second in pairs])
    )
    assert (one == other) == KINDS[name].parameters["symmetric"]


@pytest.mark.parametrize("name", ["one-label", "several-labels", "pairs", "symmetric-pairs"])
def test_labels_follow_from_the_scores_of_all_which_come_on_request(serve: Serve, name: str) -> None:
    kind, inputs = KINDS[name], KINDS[name].inputs(TEXT, OTHER, LONG)
    plain = serve(name).predict(inputs)
    full = serve(name).predict(inputs, params={"all_scores": True})
    thresholds = kind.decision["thresholds"]
    for answer, short in zip(full, plain, strict=True):
        scores = answer.pop("scores")
        assert list(scores) == list(kind.labels)
        assert answer == short
        if thresholds is None:
            assert sum(scores.values()) == pytest.approx(1)
            assert (answer["label"], answer["score"]) == max(scores.items(), key=lambda item: item[1])
        else:
            reached = {label for label, bound in zip(kind.labels, thresholds, strict=True) if scores[label] >= bound}
            assert {found["label"]: found["score"] for found in answer["labels"]} == {x: scores[x] for x in reached}
            own = [found["score"] for found in answer["labels"]]
            assert own == sorted(own, reverse=True)


@pytest.mark.parametrize("name", ["one-label", "several-labels", "pairs"])
def test_scores_are_those_of_the_models_temperature(serve: Serve, name: str) -> None:
    """Log odds, times the temperature, are those of the logits, whichever it is."""
    inputs = KINDS[name].inputs(TEXT, OTHER)
    raw, cooled = (
        [
            [temperature * log_odds(score, answer["scores"]) for score in answer["scores"].values()]
            for answer in serve(name, temperature=temperature).predict(inputs, params={"all_scores": True})
        ]
        for temperature in (1.0, 4.0)
    )
    np.testing.assert_allclose(cooled, raw, rtol=1e-4, atol=1e-4)


def log_odds(score: float, scores: dict[str, float]) -> float:
    """Against the first label if the scores add up to one, else against none."""
    against = next(iter(scores.values())) if sum(scores.values()) == pytest.approx(1) else 1 - score
    return math.log(score / against)


@pytest.mark.parametrize("name", ["entities", "entities-by-crf"])
def test_entities_have_calibrated_scores_too(serve: Serve, name: str) -> None:
    scores = [
        [entity["score"] for entity in serve(name, temperature=temperature).predict([LONG])[0]]
        for temperature in (1.0, 4.0)
    ]
    assert len(scores[0]) == len(scores[1]) > 0
    assert sum(scores[1]) < sum(scores[0])


def test_numbers_are_in_the_users_unit(serve: Serve) -> None:
    (answer,) = serve("a-number").predict([TEXT])
    (shifted,) = serve("a-number", means=(104.0,)).predict([TEXT])
    assert (answer["target"], answer["unit"]) == ("severity", "points")
    assert shifted["number"] == pytest.approx(answer["number"] + 100)
    (several,) = serve("several-numbers").predict([TEXT])
    assert [(found["target"], "unit" in found) for found in several["numbers"]] == [
        ("severity", False), ("length", False)
    ]  # fmt: skip


def test_the_environment_of_a_served_model_has_all_that_its_code_imports() -> None:
    """Each at the installed version; pandas and the like come with MLflow."""
    graph = grimp.build_graph("stages", include_external_packages=True, cache_dir=None)
    files = [f"stages.tasks.{task}.service.pyfunc" for task in task_names()]
    served = {name for file in files for name in graph.find_upstream_modules(file)}
    packages = {name for name in served if not name.startswith("stages")} - sys.stdlib_module_names
    assert packages == {name.partition(".")[0] for name in SERVED_PACKAGES}
