"""Real parts in temporary folders: a tiny pretrained model, a project checkout, a Prefect server."""

import gc
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.checkouts import ROOT, Project, Trainable, checkout, run_stages, write_params, write_small_corpus
from tests.processes import BIN, free_port, prefect_server, processes_in

settings.register_profile("house", deadline=None)  # no test asserts a time
settings.load_profile("house")
# A shell's `&` or nohup makes all that it starts deaf to signals that tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

CORPORA = ROOT.parent / "shared" / "corpora"

needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason="the real corpora lie beside the project, not in it")


DURATIONS = Path(__file__).with_name("durations.json")  # seconds of each file, by which files are spread over processes
VOCABULARY = Path(__file__).with_name("vocabulary.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help=f"update {DURATIONS.name} at the end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that no process is left alone with one at the end."""
    seconds = json.loads(DURATIONS.read_text(encoding="utf-8"))
    items.sort(key=lambda item: -seconds.get(item.path.relative_to(ROOT).as_posix(), 0))


def pytest_collection_finish() -> None:
    """Of what the modules of tests import, a million objects live until the end: no collection need visit them."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("record_durations"):
        measured: Counter[str] = Counter()
        for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
            if isinstance(report, pytest.TestReport):
                measured[report.nodeid.partition("::")[0]] += report.duration
        seconds = json.loads(DURATIONS.read_text(encoding="utf-8"))
        seconds |= {file: round(duration, 1) for file, duration in measured.items()}
        ordered = dict(sorted(seconds.items(), key=lambda item: -item[1]))
        DURATIONS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _private_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test runs finds the user's servers, writes to their home, or calls home."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "PREFECT_API_URL", "TUNELINE_PROGRESS"):
            patch.delenv(name, raising=False)
        patch.setenv("DO_NOT_TRACK", "true")
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(home))
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("HF_HOME", str(home / "huggingface"))
        for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
            patch.setenv(name, "Test")
        for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
            patch.setenv(name, "test@localhost")
        yield


@pytest.fixture(scope="module", autouse=True)
def _environment_left_as_found(_private_environment: None) -> Iterator[None]:
    """No file of tests finds what another one has left: MLflow writes the tracking URI into it."""
    with mock.patch.dict(os.environ):
        yield


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one of the processes that share the tests has filled, for all of them; they only read it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = factory.mktemp(name)
        make(folder)
        return folder
    shared = factory.getbasetemp().parent / name
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            folder = factory.mktemp(name)
            make(folder)
            folder.rename(shared)
    return shared


@pytest.fixture(scope="session")
def tiny_pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights and a small WordPiece tokenizer, in the Hugging Face layout."""
    return make_once(tmp_path_factory, "pretrained", write_pretrained)


def write_pretrained(folder: Path) -> None:
    """Its vocabulary was learnt from the demo corpus once: `WordPieceTrainer` makes another one each time."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizer

    words = VOCABULARY.read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As in the demo's wheel: left on, every word would become 32 ids.
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(32)
    tokenizer.save(str(folder / "tokenizer.json"))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.15,  # so narrow a model learns nothing in a few epochs from BERT's 0.02
    )
    BertModel(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Iterator[Project]:
    """A fresh checkout for one test module; what a test that failed has left at work in it ends with the module."""
    folder = tmp_path_factory.mktemp("project")
    yield checkout(folder, tiny_pretrained)
    for process in processes_in(folder):
        process.kill()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, to be copied: it takes seconds to create them."""

    def make(folder: Path) -> None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    return make_once(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, empty_store: Path) -> Path:
    """A folder with a small corpus and what tokenize makes of it."""

    def make(folder: Path) -> None:
        shutil.copy(empty_store, folder)
        write_small_corpus(folder / "data/corpora/demo")
        write_params(folder, tiny_pretrained)
        run_stages(folder, "tokenize")

    return make_once(tmp_path_factory, "encoded", make) / "data/encoded"


@pytest.fixture
def trainable(
    tmp_path: Path, encoded: Path, tiny_pretrained: Path, empty_store: Path
) -> Iterator[Callable[..., Trainable]]:
    """Makes folders to train in, by name and changed parameters; at the end no process of theirs is left."""

    def make(name: str = "training", **changes: Any) -> Trainable:
        folder = tmp_path / name
        shutil.copytree(encoded, folder / "data/encoded")
        shutil.copy(empty_store, folder)
        write_params(folder, tiny_pretrained, **{"train.dropout": 0.1, "runtime.checkpoint_seconds": 1, **changes})
        return Trainable(folder)

    yield make
    for process in processes_in(tmp_path):
        process.kill()


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Prefect's tables, to be copied into a PREFECT_HOME: it takes seconds to create them."""

    def make(folder: Path) -> None:
        command = [str(BIN / "prefect"), "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env={**os.environ, "PREFECT_HOME": str(folder)}, check=True, capture_output=True)

    return make_once(tmp_path_factory, "prefect-database", make) / "prefect.db"


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[str]:
    """The URL of a Prefect server for all tests of a process."""
    home = tmp_path_factory.mktemp("prefect-server")
    shutil.copy(prefect_database, home)
    with prefect_server(home, free_port()) as url:
        yield url
