"""The evaluation of a language model: masked words of dev and test, how surprising they are, plots, the page."""

from pathlib import Path
from typing import Any

from stages.encoding.texts import read_texts
from stages.encoding.tokenizer import load_tokenizer
from stages.statistics.names import shorten_score
from stages.tasks.language_modeling.model.head import masking_of
from stages.tasks.language_modeling.model.inference import describe_guesses, guess
from stages.tasks.language_modeling.model.split import mask_texts
from stages.tasks.language_modeling.report.analysis import analyze, count_tokens, list_metrics
from stages.tasks.language_modeling.report.plots import write_plots
from stages.tasks.language_modeling.report.report import render
from stages.tasks.language_modeling.scores.metric import PRIMARY
from stages.tasks.language_modeling.scores.predictions import Predictions, write_predictions
from stages.text_tasks.evaluation import SPLITS
from stages.text_tasks.predictions import examples_of
from stages.training.evaluation import Evaluated, Evaluation, describe_learning, describe_training


def evaluate(evaluation: Evaluation) -> Evaluated:
    """Predict the masked words of dev and test, and score them; ArtifactError if a split is damaged."""
    record, manifest = evaluation.record, evaluation.manifest
    predictions = {split: predict_split(evaluation, split) for split in SPLITS}
    counts = count_tokens(read_texts(evaluation.encoded, "train").input_ids, manifest.details["vocabulary"])
    splits = {split: analyze(own, counts) for split, own in predictions.items()}
    metrics = {split: list_metrics(analysis) for split, analysis in splits.items()}
    train = manifest.counts["train"]
    report = {
        "splits": splits,
        "facts": [
            *describe_training(
                evaluation,
                data=f"{train['documents']:,} documents, {train['tokens']:,} tokens",
                score=shorten_score(PRIMARY),
            ),
            ("Masked", f"{record.parameters['task']['mask_share']:.0%} of the tokens, as whole words"),
        ],
        "learning": describe_scores(describe_learning(evaluation.history, record.best_epoch)),
    }

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")

    return Evaluated(metrics, write, [_summarize(split, metrics[split]) for split in reversed(SPLITS)])


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    """What the model says in the place of the masks of a split."""
    own = evaluation
    texts = read_texts(own.encoded, split)
    masked = mask_texts(texts, masking_of(own.manifest, own.record.parameters["task"]["mask_share"]))
    guesses = guess(own.model, masked, own.compute, batch_tokens=own.batch_tokens)
    tokenizer = load_tokenizer(Path(str(own.model.name_or_path)))  # the folder of the model, which holds it
    return describe_guesses(guesses, masked, tokenizer, examples_of(texts))


def describe_scores(learning: dict[str, Any]) -> dict[str, Any]:
    """The course of training with the surprise as it is: training has it negative, so that higher is better."""
    epochs = [epoch | {"dev_score": -epoch["dev_score"]} for epoch in learning["epochs"]]
    return learning | {"epochs": epochs, "is_error": True}


def _summarize(split: str, tables: dict[str, Any]) -> str:
    primary, perplexity = tables["primary"], tables["pseudo_perplexity"]
    return (
        f"{split:<4} {shorten_score(primary['name'])} {primary['value']:.4f} (95 % interval {primary['low']:.4f} to "
        f"{primary['high']:.4f}, {primary['support']:,} documents), pseudo-perplexity {perplexity['value']:.2f}; by "
        f"frequencies alone {tables['unigram']:.4f}"
    )
