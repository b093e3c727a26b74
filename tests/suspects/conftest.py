"""Small trained pipelines whose corpora have one wrong answer, made in the process of the tests."""

import csv
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkout.new_pipeline import write_params_text
from pipeline.checkout.params_file import apply_settings
from stages.artifacts import file_digest
from tests.checkouts import ROOT, Project

CORPUS = Path("data/corpora/kind")
TEXTS = {"train": 60, "dev": 12, "test": 12}
WRONG = 10  # the text, counted from 0, of train whose answer is wrong
TOPICS = {"sea": ("water", "island"), "war": ("army", "battle"), "law": ("court", "state")}
OTHER = ("the", "of", "in", "and", "was")
LARGE = ("sea",)  # the topic whose number is large
COLUMNS = ("text", "pair", "topic", "topics", "size", "age")
Text = tuple[str, ...]  # its topics, those of its words in order


def list_texts(split: str) -> list[tuple[list[str], Text]]:
    """The words of each text with its topics: one, or two."""
    generator = random.Random(split)
    texts = []
    for number in range(TEXTS[split]):
        topics = [list(TOPICS)[number % 3], *generator.sample(list(TOPICS), number % 2)]
        words = [word for topic in topics for word in (generator.choice(OTHER), generator.choice(TOPICS[topic]))]
        texts.append(([*words, "!"], tuple(dict.fromkeys(topics))))
    return texts


def write_tags(wrong: bool) -> None:
    """Write CoNLL columns, each word of a topic an entity; the first of the wrong text has the type of another."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    tags = {word: f"B-{topic}" for topic, words in TOPICS.items() for word in words}
    for split in TEXTS:
        sentences = []
        for number, (words, topics) in enumerate(list_texts(split)):
            own = [tags.get(word, "O") for word in words]
            if wrong and split == "train" and number == WRONG:
                own[1] = f"B-{other_topic(topics)}"
            sentences.append("".join(f"{word} {tag}\n" for word, tag in zip(words, own, strict=True)))
        (CORPUS / f"{split}.conll").write_text("\n".join(sentences), encoding="utf-8")


def write_table(wrong: bool) -> None:
    """Write a table with a column for the answers of each kind, all of the wrong text being wrong."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    for split in TEXTS:
        with (CORPUS / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            for number, (words, topics) in enumerate(list_texts(split)):
                is_wrong = wrong and split == "train" and number == WRONG
                said = (other_topic(topics),) if is_wrong else topics
                text, size = " ".join(words), 9.5 if said[0] in LARGE else 0.5
                table.writerow((text, f"{number}, or {words[0]}", said[0], "|".join(said), size, 20 - size))


def other_topic(topics: Text) -> str:
    """A topic that a text does not have."""
    return next(topic for topic in TOPICS if topic not in topics)


@dataclass(frozen=True)
class Case:
    """A kind of pipeline: its task, its parameters, and how its corpus is written, with the wrong answer or without."""

    task: str
    settings: tuple[str, ...] = ()
    write: Callable[[bool], None] = write_table


CASES = {
    "tags": Case("token_classification", write=write_tags),
    "one label": Case("text_classification", ("data.label=topic",)),
    "several labels of pairs": Case(
        "text_classification",
        ("data.label=topics", 'data.label_separator="|"', "task.multi_label=true", "data.text_pair=pair"),
    ),
    "several numbers": Case("regression", ("data.target=[size, age]", "task.primary=rmse")),
}
QUICK = (
    "train.epochs=16", "train.min_steps=0", "train.batch_tokens=128", "train.learning_rate=0.003",
    "train.head_lr_multiplier=1", "train.threads=1", "tokenize.window_length=32", "tokenize.window_overlap=8",
    f"data.dir={CORPUS}",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A trained pipeline in a folder, which is the working directory."""

    name: str
    folder: Path

    @property
    def case(self) -> Case:
        return CASES[self.name]

    def call(self, *words: str, code: int = 0) -> str:
        """What the command prints."""
        finished = Project(self.folder).call("suspects", *words, code=code)
        return finished.stdout + finished.stderr

    def find(self, *words: str) -> Any:
        """What the command prints as JSON."""
        return Project(self.folder).call_json("suspects", *words)


@pytest.fixture(scope="session")
def folders() -> dict[str, Path]:
    """The folders of the cases that were trained."""
    return {}


@pytest.fixture(scope="module", params=CASES)
def trained(
    request: pytest.FixtureRequest,
    folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    tiny_pretrained: Path,
    empty_store: Path,
) -> Iterator[Trained]:
    """The pipeline of each case, trained once for all files of tests."""
    is_new = request.param not in folders
    folder = folders.setdefault(request.param, tmp_path_factory.mktemp("suspects") if is_new else Path())
    own = Trained(request.param, folder)
    if is_new:
        train(own, tiny_pretrained, empty_store)
    with chdir(folder):
        yield own


@pytest.fixture(scope="module")
def found(trained: Trained) -> Any:
    """What the command says of train as JSON."""
    return trained.find()


def train(own: Trained, pretrained: Path, store: Path) -> None:
    """Write the corpus and the parameters of a case, and run its stages up to evaluate."""
    shutil.copy(store, own.folder)
    with chdir(ROOT):
        params = write_params_text(own.case.task)
    with chdir(own.folder), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr("stages.tracking.sync.sync_live", lambda _: nullcontext())
        patch.setattr("stages.tracking.sync.try_sync", lambda *_, **__: None)
        own.case.write(True)
        Path("dvc.yaml").touch()
        Path("params.yaml").write_text(params, encoding="utf-8")
        encoder = (
            f"model.pretrained={pretrained}",
            "model.revision=null",
            f'model.sha256="{file_digest(pretrained / "model.safetensors")}"',
        )
        settings = (*QUICK, *encoder, *own.case.settings)
        Path("params.yaml").write_text(apply_settings(Path("params.yaml"), settings), encoding="utf-8")
        for stage in ("tokenize", "train", "evaluate"):
            import_module(f"stages.{stage}").main(Path("params.yaml"))
