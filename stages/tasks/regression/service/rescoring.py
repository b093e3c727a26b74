"""A model's numbers for the texts on which another one was scored."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from stages.encoding.texts import texts_of
from stages.errors import UserError
from stages.tasks.regression.scores.predictions import Predictions
from stages.tasks.regression.service.predictor import Regressor


def rescore(scored: Predictions, folder: Path) -> Predictions:
    """The same texts and gold answers with those that the model in `folder` predicts.

    UserError if one is a model of pairs and the other is not, or if their targets differ.
    """
    model = Regressor.load(folder)
    if getattr(model.trained.model.config, "text_pair", False) != (scored.pairs is not None):
        raise UserError("one of the two models reads pairs of texts, the other single texts")
    rows = model.encoder.encode(scored.texts, scored.pairs).rows()
    found = model.predict(texts_of(pa.Table.from_batches([rows])))
    if found.targets != scored.targets:
        raise UserError(f"it predicts {', '.join(found.targets)}, not {', '.join(scored.targets)}")
    return replace(found, gold_ED=scored.gold_ED, slices=scored.slices)
