"""The champion as the opponent of a challenger: its predictions for the same test examples, and how the two differ."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.registry.predictions import rescore_version
from stages.corpus.text.likeness import count_shared_sentences, find_foreign_scripts
from stages.errors import UserError
from stages.scoring import LabelChange, TaskParts, compare_labels
from stages.tracking.version_artifacts import SPLIT, load_common_task, read_version_labels, read_version_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Opponent:
    """The champion that a challenger is judged against.

    `predictions` are for the challenger's test examples; `recorded` are those of its own evaluation, the same object
    if it had these examples, None if they are gone. `labels` says which labels the challenger has lost and gained.
    """

    predictions: Any
    recorded: Any | None
    labels: LabelChange

    @property
    def is_rescored(self) -> bool:
        """Whether it had to predict the challenger's test examples for this comparison."""
        return self.predictions is not self.recorded


def prepare_opponent(
    client: "MlflowClient", champion: "ModelVersion", challenger: "ModelVersion", predictions: Any
) -> Opponent:
    """Take the champion's recorded predictions, or rescore it if the challenger's are for other examples.

    UserError if that is impossible, since its files or the challenger's are gone, or since their tasks differ.
    """
    scores = load_common_task(champion, challenger).scores
    labels = compare_labels(*(read_version_labels(client, version) for version in (champion, challenger)))
    recorded = None
    with suppress(UserError):  # the report may be gone or of another format while the model still exists
        recorded = read_version_predictions(client, champion)[SPLIT]
        if scores.have_same_examples(predictions, recorded):
            return Opponent(recorded, recorded, labels)
    return Opponent(rescore_version(client, champion, challenger), recorded, labels)


def describe_differences(challenger: Any, opponent: Opponent, task: TaskParts) -> Iterator[str]:
    """Yield what a reader of the verdict must know of the two, though it decides nothing by itself."""
    words, labels = task.words, opponent.labels
    if labels.vanished:
        yield f"nothing is promoted over a {words.label} that vanished without --force"
    if labels.appeared:
        yield f"{words.labels} that the champion does not know are not compared: {', '.join(labels.appeared)}"
    if not opponent.is_rescored:
        return
    if opponent.recorded is None:
        yield f"the champion was rescored; the test {words.examples} that it was registered with are gone"
        return
    own, others = (task.scores.list_texts(each) for each in (challenger, opponent.recorded))
    shared = count_shared_sentences(own, others)
    if shared == len(own) == len(others):
        yield (
            f"the champion was registered with these test {words.examples} in another order or with other gold "
            f"{words.answers}"
        )
    else:
        yield (
            f"the champion was registered with other test {words.examples}, and rescored on these: "
            f"{shared or 'none'} of the {len(own)} are among its own {len(others)}; the challenger was not scored on "
            "the rest of those"
        )
    scripts = find_foreign_scripts(own, others)
    if scripts:
        yield f"these test {words.examples} are written in {' and '.join(scripts)}, those of the champion are not"
