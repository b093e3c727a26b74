"""What a task says of its predictions: to the gate, to comparisons, to the registry, and to whoever reads them.

A task has two parts for that: `scores.scoring` computes (`Scores`), `presentation` finds the words (`Presentation`).
Both are modules with functions of these names; they need neither torch nor jinja, for `pipeline` imports them.

A label is what scores can be broken down by: a type of entities, a class, a target.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from stages.statistics.measure import Measure

CHANGES = ("broken", "fixed", "otherwise")  # kinds of changed predictions; see `Scores.list_changes`


@dataclass(frozen=True)
class Score:
    """A score with the bounds of its 95 % interval, and the number of items with gold answers that it rests on."""

    value: float
    low: float
    high: float
    support: int


@dataclass(frozen=True)
class LabelChange:
    """The labels that two models know both, that only the older knows, and that only the newer knows; each sorted."""

    shared: list[str]
    vanished: list[str]
    appeared: list[str]

    @property
    def is_none(self) -> bool:
        """Whether both know the same labels."""
        return not (self.vanished or self.appeared)


@dataclass(frozen=True)
class Words:
    """What a task calls things, in the singular and the plural."""

    example: str
    examples: str
    label: str
    labels: str
    answers: str  # gold ones: tags, labels, numbers
    text: str  # what an example consists of beside its gold answers: words, text
    item: str  # what has a label, with its article, and in the plural
    items: str
    title: str = "{score}"  # of the primary score
    label_score: str | None = None  # what the score of a label is called, if not as the primary one


@dataclass(frozen=True)
class Run:
    """A part of an answer as it is shown: text without a label, a text with its label, or a label alone.

    `colour` is a name: equal ones have the same colour. `is_right` says whether the other side has the same.
    """

    text: str
    label: str | None = None
    score: float | None = None
    is_right: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a sentence above it and a note below; both may be empty."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    note: str = ""


@dataclass(frozen=True)
class Legend:
    """Explains a comparison of examples."""

    scoring: str  # how the primary score counts
    right: str  # what is marked as right, and as wrong, in predictions
    wrong: str
    note: str  # more on the marks; may be empty
    same: str  # what is marked as right, and as wrong, where two gold answers are compared
    other: str


class Scores(Protocol):
    """The part `scores.scoring` of a task. `predictions` are what `read_predictions` gives for a split."""

    PRIMARY: str  # the name of the primary score, or of the first that there is to choose
    TEST_LABELS: bool  # a drop on a label counts only if a paired test says so: of many labels some fall by chance
    COMPARED_BY: Mapping[str, str]  # the score that stands for a primary one of which no paired test is known
    DEV_CURVE: str  # the curve in MLflow of the primary score on dev during training
    OLD_KEYS: Mapping[str, str]  # of JSON objects: keys that older programs know -> the keys they stand for

    def read_predictions(self, path: Path) -> dict[str, Any]:
        """The predictions of each split; ArtifactError if the file is missing, damaged or of another version."""

    def read_labels(self, config: Path) -> set[str]:
        """The labels that a model knows, by its config.json; ArtifactError if the file is missing or names none."""

    def find_labels(self, predictions: Any) -> set[str]:
        """The labels that occur in predictions, gold or predicted."""

    def list_texts(self, predictions: Any) -> pa.ListArray:
        """The words or the texts of each example; two examples with equal items are the same example."""

    def have_same_examples(self, first: Any, second: Any) -> bool:
        """Whether both are for the same examples with the same gold answers, in the same order."""

    def have_same_answers(self, first: Any, second: Any) -> bool:
        """Whether both predict the same for the same texts, in the same order."""

    def keep_labels(self, predictions: Any, labels: Collection[str]) -> Any:
        """The predictions as if there were only these labels."""

    def primary(self, predictions: Any, name: str) -> dict[str, Any]:
        """The score of this name as metrics.json has it: `name`, `value`, `low`, `high`, `support`."""

    def find_primary(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """The primary score of a split among its tables in metrics.json, also of those that do not name it yet."""

    def measure(self, predictions: Any, name: str) -> Measure:
        """What the score of this name is computed from."""

    def score_labels(self, predictions: Any, name: str) -> dict[str, Score]:
        """The score of each label that occurs; without gold items its support is 0.

        It is the score of this name if a label has such a one, else the task's own.
        """

    def measure_label(self, predictions: Any, label: str, name: str) -> Measure:
        """What the score of a label is computed from."""

    def find_slices(self, predictions: Any) -> dict[str, pa.DictionaryArray]:
        """The value of each example in each sliced column."""

    def list_changes(self, before: Any, after: Any, *, limit: int) -> dict[str, Any]:
        """The examples with other predictions: their `counts` by kind, and `examples`, at most `limit` of each kind.

        Both must be for the same examples. One is `fixed` if only the second has all of it right, `broken` if only the
        first has, else `otherwise`. An item of `examples` has its `kind`, its number `example` from 1, the text, and
        what `gold`, the `first` and the `second` say.
        """

    def mistake_kinds(self, predictions: Any) -> Sequence[str]:
        """The kinds that the mistakes of such predictions can have."""

    def list_mistakes(self, predictions: Any) -> list[dict[str, Any]]:
        """The examples with a mistake, the most confident first.

        Each has its number `example` from 1, the text, what `gold` and `predicted` say, the `kinds` of its mistakes and
        the `labels` that they concern.
        """


class Presentation(Protocol):
    """The part `presentation` of a task.

    `tables` are those of a split in metrics.json, `metrics` those of all splits.
    """

    WORDS: Words
    LEGEND: Legend
    SERVING_PARAMS: Mapping[str, Any]  # what a request to a served model may ask for, with the default of each
    SCORES_TITLE: str  # of the table that `tabulate_scores` makes

    def describe_primary(self, tables: Mapping[str, Any]) -> str:
        """The primary score with its interval and its support, in a line."""

    def tabulate_scores(self, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The main scores, a row for each split and label."""

    def describe_task(self, metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
        """What goes into a model and what comes out, and its labels, for the model card."""

    def tabulate_corpus(self, profile: Mapping[str, Any]) -> Table:
        """What a corpus contains, a column for each split, by the figures of the task's part `data.corpus`.

        The caption says what it is in a few words, to stand behind the name of its folder.
        """

    def tabulate_data(self, datasets: Mapping[str, Mapping[str, Any]]) -> Table:
        """The sizes of the splits, by the counts of the encoded corpus, for the model card."""

    def tabulate_card(self, metrics: Mapping[str, Any], *, limit: int) -> Table:
        """The scores for the model card, of at most `limit` labels, the worst first."""

    def list_limits(self, parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What a model cannot do, for the model card, by the parameters of its training run."""

    def show_text(self, record: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Name and value of each text of an example; none if the answers show it, as marked words do."""

    def show_answer(self, record: Mapping[str, Any], side: str, against: str) -> list[Run]:
        """What a side says of an example: `gold`, `predicted`, `first` or `second`, marked where `against` agrees."""

    def read_answer(self, side: Mapping[str, Any]) -> Any:
        """The gold answer of an example as `stages.tools.compare_corpora` prints it."""

    def make_inputs(self, predictions: Any, *, limit: int) -> list[Any]:
        """The first examples as a served model takes them."""

    def make_sample(self, config: Mapping[str, Any]) -> Any:
        """An example as the served model with this config.json takes it."""

    def read_input(self, given: str | Mapping[str, Any], config: Mapping[str, Any]) -> Any:
        """A line that somebody wrote, or the fields of a record, as the served model with this config.json takes it.

        ValueError, which says what is wrong with it, if it cannot.
        """

    def explain_answers(
        self, config: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]], decision: Mapping[str, Any]
    ) -> list[str]:
        """What an answer says, for the model card, by the model's config.json and its training record."""

    def answer_to_json(self, answer: Any) -> dict[str, Any]:
        """What a served model answers to one text, as fields of a JSON object beside `text`."""

    def print_answer(self, answer: Any) -> list[str]:
        """The same as lines for people."""


@dataclass(frozen=True)
class TaskParts:
    """The parts of a task that pipeline and registry need."""

    name: str
    scores: Scores
    presentation: Presentation
    primary: str  # the name of the score by which versions are compared

    @property
    def words(self) -> Words:
        """What the task calls things."""
        return self.presentation.WORDS

    def add_old_keys(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a JSON object, and the same values by the keys that older programs know."""
        old = self.scores.OLD_KEYS
        return fields | {key: fields[name] for key, name in old.items() if name in fields and key not in fields}


def compare_labels(old: Collection[str], new: Collection[str]) -> LabelChange:
    """How the labels of a newer model differ from those of an older one."""
    before, after = set(old), set(new)
    return LabelChange(sorted(before & after), sorted(before - after), sorted(after - before))
