"""A model's surprise at the masked words by which another one was scored."""

from dataclasses import replace
from pathlib import Path

from stages.encoding.tokenizer import tokenizer_digest
from stages.errors import UserError
from stages.tasks.language_modeling.model.inference import describe_guesses, guess
from stages.tasks.language_modeling.model.loading import load_model
from stages.tasks.language_modeling.model.masks import MaskedWindow
from stages.tasks.language_modeling.model.split import WindowSplit, split_of
from stages.tasks.language_modeling.scores.predictions import Predictions
from stages.training.trained_model import load_trained

BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


def rescore(scored: Predictions, folder: Path) -> Predictions:
    """The same windows and masks with what the model in `folder` says; UserError if its tokenizer is another one."""
    own = load_trained(folder, load_model)
    if tokenizer_digest(own.tokenizer) != scored.tokenizer_digest:
        raise UserError("the two have different tokenizers, so their surprise at a token cannot be compared")
    split = _read_windows(scored)
    guesses = guess(own.model, split, own.compute, batch_tokens=BATCH_TOKENS)
    examples = {name: getattr(scored, name) for name in ("texts", "pairs", "windows_E", "slices")}
    return replace(describe_guesses(guesses, split, own.tokenizer, examples), words=scored.words)


def _read_windows(scored: Predictions) -> WindowSplit:
    bounds = scored.bounds_E
    return split_of(
        [
            MaskedWindow(
                ids.values.to_numpy(), *(column[start:end] for column in (scored.place_L, scored.gold_L, scored.word_L))
            )
            for ids, start, end in zip(scored.input_ids, bounds[:-1], bounds[1:], strict=True)
        ]
    )
