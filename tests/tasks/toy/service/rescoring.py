from dataclasses import replace
from pathlib import Path

from stages.tasks.toy.model.head import decide
from stages.tasks.toy.scores.predictions import Predictions

from stages.text_tasks.serving import load_text_model


def rescore(scored: Predictions, folder: Path) -> Predictions:
    found = load_text_model(folder).predict_scored(scored, decide)
    return replace(found, gold_E=scored.gold_E, slices=scored.slices)
