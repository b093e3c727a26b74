"""The champion as the opponent of a challenger: its predictions for the same test sentences, and how the two differ."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.registry.predictions import have_same_sentences, rescore_version
from stages.corpus.text.likeness import count_shared_sentences, find_foreign_scripts
from stages.errors import UserError
from stages.tasks.token_classification.label_set import TypeChange, compare_types
from stages.tasks.token_classification.predictions import Predictions
from stages.tracking.version_artifacts import SPLIT, read_version_predictions, read_version_types

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Opponent:
    """The champion that a challenger is judged against.

    `predictions` are for the challenger's test sentences; `recorded` are those of its own evaluation, the same object
    if it had these sentences, None if they are gone. `types` says which types the challenger has lost and gained.
    """

    predictions: Predictions
    recorded: Predictions | None
    types: TypeChange

    @property
    def is_rescored(self) -> bool:
        """Whether it had to predict the challenger's test sentences for this comparison."""
        return self.predictions is not self.recorded


def prepare_opponent(
    client: "MlflowClient", champion: "ModelVersion", challenger: "ModelVersion", predictions: Predictions
) -> Opponent:
    """Take the champion's recorded predictions, or rescore it if the challenger's are for other sentences.

    UserError if that is impossible, since its files or the challenger's are gone.
    """
    types = compare_types(*(read_version_types(client, version) for version in (champion, challenger)))
    recorded = None
    with suppress(UserError):  # the report may be gone or of another format while the model still exists
        recorded = read_version_predictions(client, champion)[SPLIT]
        if have_same_sentences(predictions, recorded):
            return Opponent(recorded, recorded, types)
    return Opponent(rescore_version(client, champion, challenger), recorded, types)


def describe_differences(challenger: Predictions, opponent: Opponent) -> Iterator[str]:
    """Yield what a reader of the verdict must know of the two, though it decides nothing by itself."""
    if opponent.types.vanished:
        yield "nothing is promoted over a type that vanished without --force"
    if opponent.types.appeared:
        yield f"types that the champion does not know are not compared: {', '.join(opponent.types.appeared)}"
    if not opponent.is_rescored:
        return
    if opponent.recorded is None:
        yield "the champion was rescored; the test sentences that it was registered with are gone"
        return
    own, others = challenger.words, opponent.recorded.words
    shared = count_shared_sentences(own, others)
    if shared == len(own) == len(others):
        yield "the champion was registered with these test sentences in another order or with other gold tags"
    else:
        yield (
            f"the champion was registered with other test sentences, and rescored on these: {shared or 'none'} of the "
            f"{len(own)} are among its own {len(others)}; the challenger was not scored on the rest of those"
        )
    scripts = find_foreign_scripts(own, others)
    if scripts:
        yield f"these test sentences are written in {' and '.join(scripts)}, those of the champion are not"
