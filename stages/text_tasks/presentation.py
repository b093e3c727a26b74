"""The words for texts, whatever is predicted: what the parts `presentation` of the tasks on texts share."""

from collections.abc import Mapping
from typing import Any

from stages.reporting.pairs import READS_PAIRS, SAMPLE, SAMPLE_PAIR, read_pair, read_text
from stages.scoring import Table
from stages.statistics.names import shorten_score
from stages.text_tasks.predictions import TextPredictions


def describe_primary(tables: Mapping[str, Any], *, examples: str) -> str:
    """The primary score with its interval and the number of `examples`."""
    primary = tables["primary"]
    interval = f"95 % interval {primary['low']:.4f} to {primary['high']:.4f}"
    return f"{shorten_score(primary['name'])} {primary['value']:.4f} ({interval}, {primary['support']} {examples})"


def tabulate_data(datasets: Mapping[str, Mapping[str, Any]]) -> Table:
    """The counts of each split, and how many examples were left out for faults."""
    columns = [name for name in next(iter(datasets.values()), {}) if name not in ("digest", "dropped")]
    rows = [[split, *(f"{fields.get(name, 0):,}" for name in columns)] for split, fields in datasets.items()]
    dropped = sum(fields.get("dropped", 0) for fields in datasets.values())
    note = f"Examples left out for faults: {dropped:,} (`data.faulty: drop`)." if dropped else ""
    return Table(["split", *columns], rows, note=note)


def limit_length(parameters: Mapping[str, Mapping[str, Any]]) -> str:
    """What a window means for long texts, by the parameters of the training run."""
    return (
        f"Reads at most {parameters['tokenize']['window_length']} tokens at a time; of a longer text, the answers to "
        "its parts are averaged."
    )


def show_text(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The text, and its second one."""
    return [(name, record[name]) for name in ("text", "pair") if record.get(name) is not None]


def make_inputs(predictions: TextPredictions, *, limit: int) -> list[Any]:
    """The first texts as strings, or as `text` and `pair`."""
    first: list[Any] = predictions.texts[:limit].to_pylist()
    if predictions.pairs is None:
        return first
    return [
        {"text": text, "pair": pair} for text, pair in zip(first, predictions.pairs[:limit].to_pylist(), strict=True)
    ]


def make_sample(config: Mapping[str, Any]) -> Any:
    """A text, or two if the model's config.json says `text_pair`."""
    return {"text": SAMPLE, "pair": SAMPLE_PAIR} if config.get(READS_PAIRS) else SAMPLE


def read_input(given: str | Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """What the model with this config.json takes, by `read_pair` or `read_text`."""
    return read_pair(given) if config.get(READS_PAIRS) else read_text(given)


def answer_to_json(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the answer."""
    return dict(answer)
