"""Every kind of pipeline, and a corpus for each, written for these tests: small enough to train in a second."""

import csv
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.checkout.new_pipeline import write_pipeline

WINDOWS = ("tokenize.window_length=32", "tokenize.window_overlap=8")
SPLITS = {"train": 72, "dev": 24, "test": 72}
THINGS = {  # with its topic
    "soup": "food", "bread": "food", "coffee": "food", "train": "travel", "taxi": "travel", "ferry": "travel",
    "ticket": "travel", "hotel": "rooms", "bed": "rooms", "shower": "rooms", "cake": "food", "tea": "food",
    "bus": "travel", "towel": "rooms",
}  # fmt: skip
VERDICTS = (  # with its feeling, its topic, a severity, and the days that it took
    ("was better than promised", "good", None, 0.0, 0),
    ("was fresh, clean and worth every cent", "good", "price", 0.5, 0),
    ("came a day early", "good", "delay", 0.0, -1),
    ("cost less than last year", "good", "price", 1.0, 0),
    ("was what one expects", "fair", None, 3.0, 0),
    ("was there, and so were we", "fair", None, 3.5, 0),
    ("came on the day they had named", "fair", "delay", 2.5, 0),
    ("cost what the list says", "fair", "price", 4.0, 0),
    ("was dirty, cold and broken", "bad", None, 8.0, 0),
    ("cost twice as much as agreed", "bad", "price", 7.0, 0),
    ("came a week late", "bad", "delay", 9.0, 7),
    ("never came, and nobody says why", "bad", "delay", 10.0, 9),
)
FEELINGS = ("bad", "fair", "good")
Row = tuple[str, str, str, float, int]
COLUMNS = ("text", "feeling", "topics", "severity", "days", "other", "worst")


def split_rows() -> Iterator[tuple[str, list[Row]]]:
    """Each split with its rows."""
    rows = list(list_rows())
    random.Random(1).shuffle(rows)
    left = iter(rows)
    for split, count in SPLITS.items():
        yield split, list(itertools.islice(left, count))


def list_rows() -> Iterator[Row]:
    """Text, feeling, topics, severity and days of each combination of a thing and a verdict."""
    for (thing, topic), (verdict, feeling, other_topic, severity, days) in itertools.product(THINGS.items(), VERDICTS):
        topics = "|".join(sorted({topic, other_topic or topic}))
        yield f"The {thing} {verdict}.", feeling, topics, severity, days


def write_tags(folder: Path, *, renamed: Mapping[str, str] = {}) -> None:
    """Write the texts of each split, six to a document, with their things as entities, whose types are the topics."""
    folder.mkdir(parents=True)
    types = {thing: renamed.get(topic, topic) for thing, topic in THINGS.items()}
    for split, rows in split_rows():
        sentences = [
            ("" if number % 6 else "-DOCSTART- O\n")
            + "".join(f"{word} {f'B-{types[word]}' if word in types else 'O'}\n" for word in text[:-1].split())
            for number, (text, *_) in enumerate(rows)
        ]
        (folder / f"{split}.conll").write_text("\n".join(sentences), encoding="utf-8")


def write_table(folder: Path) -> None:
    """Write a table for each split, with a column for the answers of each kind, and the second texts of pairs."""
    folder.mkdir(parents=True)
    for split, rows in split_rows():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            for (text, feeling, *rest), (other, other_feeling, *_) in zip(rows, [*rows[1:], rows[0]], strict=True):
                worst = min(feeling, other_feeling, key=FEELINGS.index)
                table.writerow((text, feeling, *rest, other, worst))


def write_raw(folder: Path) -> None:
    """Write the texts of each split, three to a document."""
    folder.mkdir(parents=True)
    for split, rows in split_rows():
        texts = [text for text, *_ in rows]
        documents = ["\n".join(texts[start : start + 3]) for start in range(0, len(texts), 3)]
        (folder / f"{split}.txt").write_text("\n\n".join(documents), encoding="utf-8")


@dataclass(frozen=True)
class Kind:
    """A task with the parameters that make another kind of pipeline of it.

    `score` is what its primary score is called, `line` a text as `tuneline predict` reads it.
    """

    task: str
    score: str
    settings: tuple[str, ...] = ()
    line: str = "The soup came a week late."
    write_corpus: Callable[[Path], None] = write_table
    parent: str = ""  # the kind from whose registered model this one goes on
    windows: tuple[str, ...] = WINDOWS
    is_slow: bool = False  # whether its versions are for `make test-slow`

    @property
    def is_error(self) -> bool:
        """Whether a lower score is better."""
        return self.score in ("RMSE", "nats per token")


KINDS = {  # each costs four training runs: as few as show all that pipelines of a task differ in
    "tags": Kind("token_classification", "F1", ("tokenize.context=document",), write_corpus=write_tags),
    "several labels": Kind(
        "text_classification",
        "micro F1",
        (
            "data.label=topics",
            'data.label_separator="|"',
            "task.multi_label=true",
            "task.primary=micro_f1",
            "train.epochs=20",
        ),
    ),
    "pairs": Kind(
        "text_classification",
        "macro F1",
        (
            "data.label=worst",
            "data.text_pair=other",
            "task.symmetric=true",
            "train.epochs=22",
            "register.gate.max_drop_per_label=null",  # the model learns nothing of the few pairs that are good
        ),
        line="The soup came a week late.\tThe bed was dirty, cold and broken.",
    ),
    "raw text": Kind(
        "language_modeling",
        "nats per token",
        ("train.epochs=8", "train.learning_rate=3e-3", "train.early_stopping_patience=0"),
        line="The [MASK] came a week late.",
        write_corpus=write_raw,
        windows=("tokenize.window_length=32",),
        is_slow=True,
    ),
    "several numbers": Kind("regression", "RMSE", ("data.target=[severity, days]", "task.primary=rmse")),
}
ADAPTED = {  # what differs from the above in training alone: it is resumed and reproduced
    "adapters": Kind(
        "text_classification", "macro F1", ("data.label=feeling", "model.adapt=lora", "model.lora.dropout=0.1")
    ),
    "crf": Kind("token_classification", "F1", ("task.head=crf", "tokenize.context=document"), write_corpus=write_tags),
    "going on": Kind(
        "token_classification",
        "F1",
        (
            "task.head=crf",
            "tokenize.context=document",
            "train.replay={corpus: data/corpora/crf, share: 0.3}",
            "train.retain=1.0",
            "evaluate.also=[data/corpora/crf]",
        ),
        write_corpus=partial(write_tags, renamed={"rooms": "lodging"}),
        parent="crf",
    ),
    "frozen layers": Kind("regression", "Pearson", ("data.target=severity", "model.adapt=freeze", "model.freeze=1")),
}
ALL = KINDS | ADAPTED
PARENTS = {kind.parent for kind in ALL.values()}
DISTINCT = [name for name in ALL if name not in PARENTS]  # a child trains as its parent does, and more
ONE_OF_EACH_TASK = ("tags", "pairs", "raw-text", "several-numbers")  # folders, where one kind of each task is enough
# Words that commands must not use of these tasks, for they belong to others.
FOREIGN = {
    "token_classification": r"\btexts? of (dev|test)\b|\bclass(es)?\b|(?<!lora\.)\btarget",
    "text_classification": r"\b[Ee]ntit|\bsentences?\b|\btags?\b|(?<!lora\.)\btarget",
    "language_modeling": r"\b[Ee]ntit|\bsentences?\b|\btags?\b|\bF1\b|(?<!lora\.)\btarget|\bclass(es)?\b",
    "regression": r"\b[Ee]ntit|\bsentences?\b|\btags?\b|\bF1\b|\blabels?\b",
}
QUICK = (
    "train.epochs=12",
    "train.min_steps=0",
    "train.batch_tokens=256",
    "train.threads=1",  # two would wait for each other where the machine has other work
)


def folder_name(name: str) -> str:
    """The name of the folders and of the registered model of a kind."""
    return name.replace(" ", "-")


def write_kind(name: str) -> Path:
    """Write the corpus and the pipeline of a kind into the checkout in the working directory; return its folder."""
    kind, folder = ALL[name], Path("kinds", folder_name(name))
    corpus = Path("data/corpora", folder_name(name))
    kind.write_corpus(corpus)
    settings = (*QUICK, *kind.windows, *kind.settings, f"data.dir={corpus}", f"register.name={folder.name}")
    write_pipeline(folder, kind.task, list(settings))
    return folder


def swap_examples(folder: Path) -> None:
    """Exchange the first example of train with that of test."""
    (train,), (test,) = (list(folder.glob(f"{split}.*")) for split in ("train", "test"))
    is_table = train.suffix == ".csv"
    between, first = ("\n", 1) if is_table else ("\n\n", 0)  # behind the names of the columns
    parts = [path.read_text(encoding="utf-8").split(between) for path in (train, test)]
    parts[0][first], parts[1][first] = parts[1][first], parts[0][first]
    for path, own in zip((train, test), parts, strict=True):
        path.write_text(between.join(own), encoding="utf-8")
