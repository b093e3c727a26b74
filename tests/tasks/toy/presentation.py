from collections.abc import Mapping
from typing import Any

from stages.scoring import Legend, Run, Table, Words
from stages.text_tasks import presentation as shared

WORDS = Words("text", "texts", "number", "numbers", answers="numbers", text="text", item="a number", items="numbers")
LEGEND = Legend(scoring="", right="", wrong="", note="", same="", other="")
SERVING_PARAMS: dict[str, Any] = {}
SCORES_TITLE = "The share of numbers that are right."

tabulate_data, show_text = shared.tabulate_data, shared.show_text
make_inputs, make_sample, read_input = shared.make_inputs, shared.make_sample, shared.read_input


def describe_primary(tables: Mapping[str, Any]) -> str:
    return f"exact {tables['primary']['value']:.4f}"


def tabulate_scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"split": split, "exact": tables["primary"]["value"]} for split, tables in metrics.items()]


def describe_task(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
    return "strings in, whole numbers out", ["number"]


def tabulate_corpus(profile: Mapping[str, Any]) -> Table:
    return Table([], [])


def tabulate_card(metrics: Mapping[str, Any], *, limit: int) -> Table:
    return Table([], [])


def list_limits(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return []


def show_answer(record: Mapping[str, Any], side: str, against: str) -> list[Run]:
    return [Run("", str(record[side]), is_right=record[side] == record[against])]


def read_answer(side: Mapping[str, Any]) -> Any:
    return side["targets"]


def explain_answers(
    config: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]], decision: Mapping[str, Any]
) -> list[str]:
    return []


def answer_to_json(answer: int) -> dict[str, Any]:
    return {"number": answer}


def print_answer(answer: int) -> list[str]:
    return [str(answer)]
