from pathlib import Path

from stages.tasks.toy.model.head import decide
from stages.tasks.toy.scores import scoring
from stages.tasks.toy.scores.predictions import Predictions, write_predictions

from stages.reporting.tables import write_learning
from stages.text_tasks.evaluation import SPLITS, predict_encoded
from stages.training.evaluation import Evaluated, Evaluation, describe_learning


def evaluate(evaluation: Evaluation) -> Evaluated:
    predictions = {split: predict_split(evaluation, split) for split in SPLITS}
    metrics = {split: {"primary": scoring.primary(own, "exact")} for split, own in predictions.items()}

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        (folder / "report.html").write_text("<title>toy</title>", encoding="utf-8")
        (folder / "plots").mkdir()
        write_learning(folder / "plots", describe_learning(evaluation.history, evaluation.record.best_epoch))

    return Evaluated(metrics, write, [f"{name} {own['primary']['value']:.4f}" for name, own in metrics.items()])


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    return predict_encoded(evaluation, split, decide)
