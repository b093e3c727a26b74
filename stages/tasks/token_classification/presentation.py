"""The words for what a tagger does and how well; see `Presentation` in stages/scoring.py."""

from collections.abc import Mapping
from typing import Any

from stages.reporting.corpus_rows import count_row, length_rows
from stages.reporting.pairs import read_text
from stages.scoring import Legend, Run, Table, Words
from stages.tasks.token_classification.scores.marking import extract_entities, mark_entities
from stages.tasks.token_classification.scores.predictions import Predictions

WORDS = Words(
    "sentence", "sentences", "type", "types",
    answers="tags", text="words", item="an entity", items="entities", title="{score} of entities",
)  # fmt: skip
LEGEND = Legend(
    scoring="Strict scoring: an entity is correct only if its type and both boundaries match the gold entity.",
    right="an entity that matches gold",
    wrong="one that does not",
    note="A type written as a tag, such as I-PER, marks a tag that continues no entity, which strict scoring does not "
    "count as one.",
    same="an entity of both",
    other="one of this side only",
)
SAMPLE = "Angela Merkel visited Siemens in Munich."
DOCUMENTS = "documents"
SERVING_PARAMS = {DOCUMENTS: False}
SCORES_TITLE = "Entity scores, strict; f1_low to f1_high: 95 % interval."
FIGURES = ("precision", "recall", "f1", "f1_low", "f1_high")


def describe_primary(tables: Mapping[str, Any]) -> str:
    """The strict F1 with its interval and the number of entities."""
    micro = tables["entity_strict"]["micro"]
    interval = f"95 % interval {micro['f1_low']:.4f} to {micro['f1_high']:.4f}"
    return f"entity F1 {micro['f1']:.4f} (strict, {interval}, {micro['support']} entities)"


def tabulate_scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The strict scores, a row for each split and entity type."""
    rows = []
    for split, tables in metrics.items():
        strict = tables["entity_strict"]
        for name, row in {"all types": strict["micro"], **strict["per_type"]}.items():
            figures = {column: f"{row[column]:.4f}" for column in FIGURES}
            rows.append({"split": split, "entities": name, **figures, "support": row["support"]})
    return rows


def describe_task(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What goes in and what comes out, and the types."""
    types = list(metrics["test"]["entity_strict"]["per_type"])
    return f"Named-entity recognition: strings in, entities of {len(types)} types out", types


def tabulate_corpus(profile: Mapping[str, Any]) -> Table:
    """Sentences, words, entities of each type and tokens; the caption has the tag scheme."""
    splits = profile["splits"]
    types = sorted({name for split in splits.values() for name in split["entities"]})
    rows = [count_row("sentences", splits, "sentences")]
    if any("dropped" in split for split in splits.values()):
        rows.append(count_row("  left out for their faults", splits, "dropped"))
    rows.append(count_row("words", splits, "words"))
    if any(split["documents"] for split in splits.values()):
        rows.append(count_row("documents", splits, "documents"))
    rows.append(["entities", *(f"{sum(split['entities'].values()):,}" for split in splits.values())])
    for name in types:
        shown = name if name.isprintable() else repr(name)
        rows.append([f"  {shown}", *(f"{split['entities'].get(name, 0):,}" for split in splits.values())])
    unseen = [split.get("unseen_entities") for split in splits.values()]
    if any("unseen_entities" in split for split in splits.values()):
        rows.append(["  distinct ones not in train", *("" if share is None else f"{share:.0%}" for share in unseen)])
    rows += length_rows(splits, example="sentence", examples="sentences", window=profile["window"])
    if all("tokens" in split for split in splits.values()):
        rows.append(count_row("words unknown to the tokenizer", splits, "unknown_words"))
    return Table(["", *splits], rows, caption=f"{profile['scheme']}, {len(types)} entity types")


def tabulate_data(datasets: Mapping[str, Mapping[str, Any]]) -> Table:
    """The sentences, words and entities of each split, and how many sentences were left out for faults."""
    columns = ("sentences", "words", "entities")
    rows = [[split, *(f"{fields[column]:,}" for column in columns)] for split, fields in datasets.items()]
    dropped = sum(fields.get("dropped", 0) for fields in datasets.values())
    note = f"Sentences left out for faults: {dropped:,} (`data.faulty: drop`)." if dropped else ""
    return Table(["split", *columns], rows, note=note)


def tabulate_card(metrics: Mapping[str, Any], *, limit: int) -> Table:
    """The strict scores of dev and test, and on test of at most `limit` types, the lowest F1 first."""
    rows = [_score_row(split, "all", metrics[split]["entity_strict"]["micro"]) for split in ("dev", "test")]
    per_type = sorted(metrics["test"]["entity_strict"]["per_type"].items(), key=lambda item: item[1]["f1"])
    rows += [_score_row("test", name, scores) for name, scores in per_type[:limit]]
    note = "" if len(per_type) <= limit else f"The {limit} types with the lowest F1 of {len(per_type)}."
    columns = ["split", "type", "F1", "precision", "recall", "95 % interval of F1", "entities"]
    return Table(columns, rows, caption="Strict entity scores.", note=note)


def list_limits(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a tagger cannot do."""
    unless = ", unless documents are given" if _reads_documents(parameters) else ""
    length = parameters["tokenize"]["window_length"]
    return [
        f"Reads at most {length} tokens at a time, and each text without its context{unless}.",
        "Entities do not overlap or nest.",
    ]


def show_text(record: Mapping[str, Any]) -> list[tuple[str, str]]:  # noqa: ARG001 - as of any task
    """None: the words stand in each answer, with their entities marked."""
    return []


def show_answer(record: Mapping[str, Any], side: str, against: str) -> list[Run]:
    """The words of a sentence with the entities of a side, which are given as entities or as tags."""
    return mark_entities(record["words"], _read_entities(record[side]), _read_entities(record[against]))


def read_answer(side: Mapping[str, Any]) -> list[str]:
    """The gold tags of a sentence."""
    tags: list[str] = side["tags"]
    return tags


def make_inputs(predictions: Predictions, *, limit: int) -> list[str]:
    """The first sentences as strings."""
    return [" ".join(words) for words in predictions.words[:limit].to_pylist()]


def make_sample(config: Mapping[str, Any]) -> str:  # noqa: ARG001 - as of any task
    """A sentence."""
    return SAMPLE


def read_input(given: str | Mapping[str, Any], config: Mapping[str, Any]) -> str:  # noqa: ARG001 - as of any task
    """A text."""
    return read_text(given)


def explain_answers(
    config: Mapping[str, Any],  # noqa: ARG001 - as of any task
    parameters: Mapping[str, Mapping[str, Any]],
    decision: Mapping[str, Any],
) -> list[str]:
    """What offsets count, how documents are given, and the temperature, which models of before it was fitted lack."""
    temperature = decision.get("temperature")
    fitted = f", calibrated on dev (temperature {temperature:.4f})" if temperature else ", not calibrated"
    with_documents = (
        f'With `params={{"{DOCUMENTS}": True}}` the inputs are the sentences of documents, an empty string between two '
        "documents, and each is read in its context, as in training."
    )
    return [
        "`start` and `end` count characters.",
        *([with_documents] if _reads_documents(parameters) else []),
        f"`score` is the mean probability of the tags of an entity's words{fitted}.",
    ]


def answer_to_json(answer: list[dict[str, Any]]) -> dict[str, Any]:
    """The entities of a text."""
    return {"entities": answer}


def print_answer(answer: list[dict[str, Any]]) -> list[str]:
    """A line for each entity."""
    return [
        f"{entity['type']:<8} {entity['text']}  ({entity['start']}-{entity['end']}, {entity['score']:.2f})"
        for entity in answer
    ]


def _reads_documents(parameters: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a model was trained on whole documents; the records of older models do not say."""
    return parameters["tokenize"].get("context") == "document"


def _score_row(split: str, name: str, scores: Mapping[str, Any]) -> list[str]:
    interval = f"{scores['f1_low']:.4f} to {scores['f1_high']:.4f}"
    return [
        split, name, *(f"{scores[key]:.4f}" for key in ("f1", "precision", "recall")), interval, str(scores["support"])
    ]  # fmt: skip


def _read_entities(answer: list[Any]) -> list[list[Any]]:
    """The entities of a sentence, given as such, or by a tag for each word."""
    return extract_entities(answer) if answer and isinstance(answer[0], str) else answer
