"""The words for what a language model does and how well; see `Presentation` in stages/scoring.py."""

from collections.abc import Mapping
from typing import Any

from stages.reporting.corpus_rows import count_row, length_rows
from stages.scoring import Legend, Run, Table, Words
from stages.text_tasks import presentation as shared

MASK = "[MASK]"  # what stands for a word in a text, whatever the tokenizer calls it
WORDS = Words(
    "window", "windows", "part", "parts", answers="words", text="text", item="a masked word", items="masked words"
)  # fmt: skip
LEGEND = Legend(
    scoring="A window counts as right if its words surprise the model less than masked words surprise both on average.",
    right="the word that stood there",
    wrong="another one",
    note="",
    same="a word of both",
    other="one of this side only",
)
SERVING_PARAMS: dict[str, Any] = {}
SCORES_TITLE = "How surprising masked words are."

tabulate_data, show_text, answer_to_json = shared.tabulate_data, shared.show_text, shared.answer_to_json
read_input = shared.read_input


def describe_primary(tables: Mapping[str, Any]) -> str:
    """The mean surprise with its interval and the number of documents."""
    return shared.describe_primary(tables, examples="documents")


def tabulate_scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Surprise, pseudo-perplexity and accuracy of each split."""
    return [
        {
            "split": split,
            "nats_per_token": f"{tables['primary']['value']:.4f}",
            "pseudo_perplexity": f"{tables['pseudo_perplexity']['value']:.2f}",
            "accuracy": f"{tables['accuracy']:.4f}",
            "by_frequencies": f"{tables['unigram']:.4f}",
            "documents": tables["documents"],
        }
        for split, tables in metrics.items()
    ]


def describe_task(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:  # noqa: ARG001 - as of any task
    """What goes in and what comes out."""
    return f"Masked language modelling: strings with {MASK} in, likely words out", ["masked words"]


def tabulate_corpus(profile: Mapping[str, Any]) -> Table:
    """Documents, words and tokens."""
    splits = profile["splits"]
    rows = [count_row(name, splits, name) for name in ("documents", "words", "characters")]
    if all("tokens" in figures for figures in splits.values()):
        rows += [
            count_row("tokens", splits, "all_tokens"),
            *length_rows(splits, example="document", examples="documents", window=profile["window"]),
            count_row("words unknown to the tokenizer", splits, "unknown_tokens"),
        ]
    return Table(["", *splits], rows, caption="raw text")


def tabulate_card(metrics: Mapping[str, Any], *, limit: int) -> Table:  # noqa: ARG001 - as of any task
    """The surprise and the pseudo-perplexity of dev and test."""
    rows = []
    for split in ("dev", "test"):
        tables = metrics[split]
        primary, perplexity = tables["primary"], tables["pseudo_perplexity"]
        interval = f"{primary['low']:.4f} to {primary['high']:.4f}"
        rows.append(
            [split, f"{primary['value']:.4f}", interval, f"{perplexity['value']:.2f}", f"{primary['support']:,}"]
        )
    note = "Of a model with another tokenizer the scores would not be comparable."
    columns = ["split", "nats per token", "95 % interval", "pseudo-perplexity", "documents"]
    return Table(columns, rows, note=note)


def list_limits(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a language model cannot do."""
    return [
        f"Reads at most {parameters['tokenize']['window_length']} tokens at a time; a mask in a longer text is filled "
        "by those around it.",
        "Says what is likely in texts like its own, true or not. It is meant as the encoder of models of other tasks: "
        "`model.pretrained` takes its folder.",
    ]


def show_answer(record: Mapping[str, Any], side: str, against: str) -> list[Run]:
    """What a side says in the place of each masked word."""
    others = [said for _, said in record[against]]
    return [
        Run("", f"{word} → {said}" if word != said else word, is_right=said == other, colour=word)
        for (word, said), other in zip(record[side], others, strict=True)
    ]


def read_answer(side: Mapping[str, Any]) -> list[Any]:  # noqa: ARG001 - raw text has no other
    """None: a text is its own answer."""
    return []


def make_inputs(predictions: Any, *, limit: int) -> list[str]:
    """The first windows with a mask behind each."""
    return [f"{text} {MASK}" for text in predictions.texts[:limit].to_pylist()]


def make_sample(config: Mapping[str, Any]) -> str:  # noqa: ARG001 - as of any task
    """A text with a mask."""
    return f"The delivery arrived two {MASK} late, and nobody answered the phone."


def explain_answers(
    config: Mapping[str, Any],  # noqa: ARG001 - as of any task
    parameters: Mapping[str, Mapping[str, Any]],
    decision: Mapping[str, Any],  # noqa: ARG001 - likewise
) -> list[str]:
    """What a mask is, and what its scores mean."""
    return [
        f"`masks` has for each {MASK} of a text the likeliest tokens in its place, the likeliest first.",
        "`score` is a probability among all tokens of the vocabulary. It is not calibrated.",
        f"Trained with {parameters['task']['mask_share']:.0%} of the tokens masked, as whole words.",
    ]


def print_answer(answer: Mapping[str, Any]) -> list[str]:
    """A line for each mask."""
    lines = [
        "  ".join(f"{each['word']} ({each['score']:.2f})" for each in mask["candidates"]) for mask in answer["masks"]
    ]
    return lines or [f"no {MASK} in it"]
