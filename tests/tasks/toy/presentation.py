from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stages.scoring import Legend, Run, Table, Words

WORDS = Words("text", "texts", "number", "numbers", answers="numbers", text="text", item="a number", items="numbers")
LEGEND = Legend(scoring="", right="", wrong="", note="", same="", other="")
SAMPLE = "Good."
SERVING_PARAMS: dict[str, Any] = {}
SERVING_PARAMS: dict[str, Any] = {}
SCORES_TITLE = "The share of numbers that are right."


def describe_primary(tables: Mapping[str, Any]) -> str:
    return f"exact {tables['primary']['value']:.4f}"


def tabulate_scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"split": split, "exact": tables["primary"]["value"]} for split, tables in metrics.items()]


def describe_task(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
    return "strings in, whole numbers out", ["number"]


def tabulate_corpus(profile: Mapping[str, Any]) -> Table:
    return Table([], [])


def tabulate_data(datasets: Mapping[str, Mapping[str, Any]]) -> Table:
    return Table([], [])


def tabulate_card(metrics: Mapping[str, Any], *, limit: int) -> Table:
    return Table([], [])


def list_limits(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return []


def show_text(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("text", record["text"])]


def show_answer(record: Mapping[str, Any], side: str, against: str) -> list[Run]:
    return [Run("", str(record[side]), is_right=record[side] == record[against])]


def read_answer(side: Mapping[str, Any]) -> Any:
    return side["targets"]


def make_inputs(predictions: pa.Table, *, limit: int) -> list[Any]:
    return predictions["text"][:limit].to_pylist()


def make_sample(config: Mapping[str, Any]) -> Any:
    return SAMPLE


def read_input(given: str | Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    return given


def explain_answers(
    config: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]], decision: Mapping[str, Any]
) -> list[str]:
    return []


def answer_to_json(answer: int) -> dict[str, Any]:
    return {"number": answer}


def print_answer(answer: int) -> list[str]:
    return [str(answer)]
