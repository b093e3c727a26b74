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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from filelock import FileLock
from hypothesis import settings

from tests import preloaded
from tests.in_process import run_tuneline
from tests.processes import BIN, PATIENCE, free_port, prefect_server, processes_in, real_programs, start, wait_until

settings.register_profile("house", deadline=None)  # no test asserts a time
settings.load_profile("house")
# A shell's `&` or nohup makes all that it starts deaf to signals that tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

ROOT = Path(__file__).parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"
DEMO = ROOT / "data/corpora/demo"

needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason="the real corpora lie beside the project, not in it")


DURATIONS = Path(__file__).with_name("durations.json")  # seconds of each file, by which files are spread over processes


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
    """A BERT with random weights and a WordPiece tokenizer trained on the demo corpus, in the Hugging Face layout."""
    return make_once(tmp_path_factory, "pretrained", write_pretrained)


def write_pretrained(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, BertTokenizer

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [line.split(" ")[0] for line in (DEMO / "train.conll").read_text(encoding="utf-8").splitlines()]
    tokenizer.train_from_iterator(words, trainers.WordPieceTrainer(vocab_size=800, special_tokens=specials))
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


def write_params(folder: Path, pretrained: Path, **changes: Any) -> None:
    """The project's params.yaml with the tiny model and settings that train in seconds; `changes` by dotted key."""
    from pipeline.checkout.params_file import apply_settings
    from stages.artifacts import file_digest

    values = {
        "model.pretrained": str(pretrained),
        "model.revision": "null",
        "model.sha256": f'"{file_digest(pretrained / "model.safetensors")}"',
        "tokenize.window_length": 64,
        "tokenize.window_overlap": 16,
        "train.epochs": 5,
        "train.learning_rate": 0.005,
        "train.batch_tokens": 128,
        "train.dropout": 0.0,
        "train.threads": 1,  # two would wait for each other where the machine has other work
        "register.name": "tiny-ner",
        **changes,
    }
    text = apply_settings(ROOT / "params.yaml", [f"{key}={value}" for key, value in values.items()])
    (folder / "params.yaml").write_text(text, encoding="utf-8")


@contextmanager
def set_in(folder: Path, *settings: str) -> Iterator[None]:
    """Within, params.yaml has other values."""
    from pipeline.checkout.params_file import apply_settings

    params = folder / "params.yaml"
    before = params.read_bytes()
    params.write_text(apply_settings(params, settings), encoding="utf-8")
    try:
        yield
    finally:
        params.write_bytes(before)


def write_small_corpus(folder: Path, *, train: int = 150, rest: int = 40) -> None:
    """The first sentences of each split of the demo corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("dev", rest), ("test", rest)):
        sentences = (DEMO / f"{split}.conll").read_text(encoding="utf-8").split("\n\n")
        (folder / f"{split}.conll").write_text("\n\n".join(sentences[:count]) + "\n", encoding="utf-8")


def run_stages(folder: Path, *stages: str) -> None:
    """Run stages in a folder without DVC."""
    for stage in stages:
        environment = preloaded.environment() | {"PYTHONPATH": str(ROOT)}
        finished = run_command(["python", "-m", f"stages.{stage}"], folder, environment)
        assert finished.returncode == 0, finished.stderr


def run_command(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program of the environment's PATH in a folder."""
    return subprocess.run(
        [shutil.which(words[0], path=environment["PATH"]) or words[0], *words[1:]],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Project:
    """A checkout of the project in a folder of its own, with git and DVC of its own.

    Its commands are run by the fork server (tests/preloaded), or `real`, each by an interpreter of its own.
    """

    folder: Path
    real: bool = False

    def command(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run an installed command in the checkout and check its exit code."""
        programs = real_programs() if self.real else preloaded.environment()
        finished = run_command(list(words), self.folder, programs | environment)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    def tuneline(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the console script."""
        return self.command("tuneline", *words, code=code, **environment)

    def json(self, *words: str, **environment: str) -> Any:
        """Run the console script with --json and parse what it prints."""
        return json.loads(self.tuneline(*words, "--json", **environment).stdout)

    def call(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the console script in this process (see `run_tuneline`) and check its exit code."""
        finished = run_tuneline(list(words), self.folder, environment)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    def call_json(self, *words: str, **environment: str) -> Any:
        """Run the console script in this process with --json and parse what it prints."""
        return json.loads(self.call(*words, "--json", **environment).stdout)


def checkout(folder: Path, pretrained: Path) -> Project:
    """Copy what git would commit into `folder`, with the tiny model and a small corpus, and commit it there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists() and name != "dvc.lock" and not name.startswith("data/corpora/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    write_small_corpus(folder / "data/corpora/demo")
    write_params(folder, pretrained)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return Project(folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Iterator[Project]:
    """A fresh checkout for one test module; what a test that failed has left at work in it ends with the module."""
    folder = tmp_path_factory.mktemp("project")
    yield checkout(folder, tiny_pretrained)
    for process in processes_in(folder):
        process.kill()


@dataclass(frozen=True)
class Trainable:
    """A folder in which `python -m stages.train` runs."""

    folder: Path

    def start(self, *launcher: str, real: bool = True, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a training run, by `python -m LAUNCHER` if given; it writes to the log.

        It has an interpreter of its own if `real`, or else comes from the fork server.
        """
        programs = real_programs() if real else preloaded.environment()
        python = str(shutil.which("python", path=programs["PATH"]))
        command = [python, *launcher, "-m", "stages.train"]
        return start(command, self.folder, **programs, PYTHONPATH=str(ROOT), **environment)

    def run(self, *launcher: str, code: int = 0, **environment: str) -> str:
        """Run a training run to its end, check its exit code, and return what it wrote to the log.

        Without a launcher it is run by the fork server.
        """
        before = len(self.log())
        process = self.start(*launcher, real=bool(launcher), **environment)
        assert process.wait(PATIENCE) == code, self.log()
        return self.log()[before:]

    def log(self) -> str:
        """What all trainings of this folder have written so far."""
        path = self.folder / "server.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait_for(self, words: str, process: "subprocess.Popen[bytes]", *, after: int = 0) -> None:
        """Return once the log holds `words` behind its first `after` characters."""
        wait_until(lambda: words in self.log()[after:], self.log, process)

    def checkpoints(self) -> list[Path]:
        """The folders of whole checkpoints, the newest last."""
        return sorted(self.folder.glob(".checkpoints/*/step-*"))

    def model(self) -> tuple[str, str]:
        """The weights' digest, and the history of steps."""
        from stages.artifacts import file_digest

        model = self.folder / "data/model"
        return file_digest(model / "model.safetensors"), (model / "history.jsonl").read_text(encoding="utf-8")


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
