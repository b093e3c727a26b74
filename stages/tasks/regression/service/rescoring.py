"""A model's numbers for the texts on which another one was scored."""

from dataclasses import replace
from pathlib import Path

from stages.errors import UserError
from stages.tasks.regression.model.inference import decide
from stages.tasks.regression.scores.predictions import Predictions
from stages.text_tasks.serving import load_text_model


def rescore(scored: Predictions, folder: Path) -> Predictions:
    """The same texts and gold answers with those that the model in `folder` predicts.

    UserError if one is a model of pairs and the other is not, or if their targets differ.
    """
    found = load_text_model(folder).predict_scored(scored, decide)
    if found.targets != scored.targets:
        raise UserError(f"it predicts {', '.join(found.targets)}, not {', '.join(scored.targets)}")
    return replace(found, gold_ED=scored.gold_ED, slices=scored.slices)
