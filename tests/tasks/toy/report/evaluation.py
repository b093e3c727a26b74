from pathlib import Path

import pyarrow as pa
from stages.tasks.toy.model.head import predict, read_numbers, read_split
from stages.tasks.toy.params import ToyParams
from stages.tasks.toy.scores import scoring
from stages.tasks.toy.scores.predictions import write_predictions

from stages.reporting.tables import write_learning
from stages.training.evaluation import Evaluated, Evaluation, describe_learning


def evaluate(evaluation: Evaluation) -> Evaluated:
    task = ToyParams(**evaluation.record.parameters["task"])
    tables = {}
    for name in ("test", "dev"):
        split = read_split(evaluation.encoded, name, evaluation.manifest, task)
        predicted = predict(evaluation.model, split, evaluation.compute, batch_tokens=evaluation.batch_tokens)
        texts = pa.chunked_array(split.texts.texts.chunks)
        tables[name] = pa.table({"text": texts, "gold": read_numbers(split.texts), "predicted": predicted})
    metrics = {name: {"primary": scoring.primary(table, "exact")} for name, table in tables.items()}

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", tables)
        (folder / "report.html").write_text("<title>toy</title>", encoding="utf-8")
        (folder / "plots").mkdir()
        write_learning(folder / "plots", describe_learning(evaluation.history, evaluation.record.best_epoch))

    return Evaluated(metrics, write, [f"{name} {own['primary']['value']:.4f}" for name, own in metrics.items()])
