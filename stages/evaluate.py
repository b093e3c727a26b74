"""evaluate: data/model on the dev and test splits of data/encoded -> data/report, scores and predictions."""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from stages import tracking
from stages.artifacts import whole, write_json
from stages.command import run_recipe
from stages.encoding.files import EncodedSplit, Manifest, read_manifest, read_split
from stages.errors import ArtifactError
from stages.journal import Journal
from stages.modeling.classifier import labels_of, load_classifier
from stages.modeling.device import Precision, choose_compute, make_repeatable, place
from stages.modeling.prediction import WordPredictions, predict
from stages.modeling.record import read_training
from stages.params import RuntimeParams, Section, load_params
from stages.scoring.entities import Scores, entities, scores

ENCODED = Path("data/encoded")
MODEL = Path("data/model")
REPORT = Path("data/report")
SPLITS = ("dev", "test")
PREDICTIONS_VERSION = "1"  # of predictions.parquet, in the metadata of its schema

log = logging.getLogger("evaluate")


class EvaluateParams(Section):
    """How a trained model is scored."""

    batch_subwords: int = Field(ge=16)
    precision: Precision


class Params(Section):
    """The sections that evaluate reads."""

    evaluate: EvaluateParams
    runtime: RuntimeParams


def main(params_file: Path) -> None:
    """Predict dev and test, score them, write data/report."""
    params = load_params(params_file, Params)
    compute = choose_compute(params.runtime.device, params.evaluate.precision)
    record = read_training(MODEL)
    make_repeatable(seed=0, threads=record["threads"])  # as in training, so that sums are rounded alike

    manifest = read_manifest(ENCODED)
    model = load_classifier(MODEL)
    place(model, compute)
    check_labels(labels_of(model), manifest)

    metrics: dict[str, Scores] = {}
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        encoded = read_split(ENCODED, split)
        predictions = predict(model, encoded, compute, batch_subwords=params.evaluate.batch_subwords)
        split_rows = sentence_rows(split, encoded, predictions, manifest.labels)
        metrics[split] = scores([row["gold"] for row in split_rows], [row["predicted"] for row in split_rows])
        rows += split_rows

    with whole(REPORT) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", metrics)
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"format_version": PREDICTIONS_VERSION})
        pq.write_table(table, folder / "predictions.parquet")

    for split in SPLITS:
        micro = metrics[split]["entity_strict"]["micro"]
        log.info(
            "%-4s entity F1 %.4f (precision %.4f, recall %.4f, %d entities)",
            split,
            micro["f1"],
            micro["precision"],
            micro["recall"],
            micro["support"],
        )
    journal = Journal(record["train_key"])
    journal.tell_from(MODEL, record)
    journal.figures(metrics)
    tracking.send(journal)


def check_labels(labels: list[str], manifest: Manifest) -> None:
    """Refuse a model that was trained for other labels than the corpus has."""
    if labels != manifest.labels:
        raise ArtifactError(
            f"{MODEL} predicts {', '.join(labels)}, but {ENCODED} holds {', '.join(manifest.labels)}. "
            "Train anew: dvc repro train"
        )


def sentence_rows(
    split: str, encoded: EncodedSplit, predictions: WordPredictions, labels: list[str]
) -> list[dict[str, Any]]:
    """A row for each sentence: words, gold and predicted tags, probabilities, and the counts that F1 is made of."""
    rows = []
    per_sentence = zip(
        encoded.words.to_pylist(), predictions.gold, predictions.predicted, predictions.probability, strict=True
    )
    for number, (words, gold_ids, predicted_ids, probability) in enumerate(per_sentence):
        gold = [labels[index] for index in gold_ids]
        predicted = [labels[index] for index in predicted_ids]
        gold_entities, predicted_entities = set(entities(gold, strict=True)), set(entities(predicted, strict=True))
        rows.append(
            {
                "split": split,
                "sentence": number,
                "words": words,
                "gold": gold,
                "predicted": predicted,
                "probability": probability.tolist(),
                "gold_entities": len(gold_entities),
                "predicted_entities": len(predicted_entities),
                "correct_entities": len(gold_entities & predicted_entities),
            }
        )
    return rows


if __name__ == "__main__":
    run_recipe(main)
