"""What is written down of a checkout: its commit, what differs from it, and which files nobody elsewhere could have."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from stages.errors import UserError
from stages.register import require_unchanged
from stages.tracking import model_card
from stages.tracking.environment import git_diff, git_state, untracked_files, without_password
from stages.tracking.lineage_record import current_lineage, read_lock, stage_record

# DVC 3.67 reads it in the way that pygtrie is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

CORPUS = Path("data/corpora/mine")
PARAMS = "data:\n  dir: data/corpora/mine\nmodel:\n  pretrained: org/encoder\nregister:\n  name: mine\n"
STAGES = """stages:
  tokenize: {cmd: "true", deps: [data/corpora/mine, stages/tokenize.py], outs: [data/encoded]}
"""
MACHINE = {"device": "cpu", "precision": "fp32", "threads": 1}


def git(*words: str, folder: Path | None = None, text: bytes | None = None) -> bytes:
    return subprocess.run(["git", *words], cwd=folder, input=text, capture_output=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with one commit, and the dvc.lock of a tokenize that has run."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    with Repo.init() as repo, repo.config.edit() as config:
        config["core"] = {"analytics": False}
    for path, content in {
        CORPUS / "train.conll": b"Bonn B-LOC\n",
        CORPUS / "deep/dev.conll": b"Ulm B-LOC\n",
        Path("data/encoded/train.arrow"): b"\0\1\2",
        Path("stages/tokenize.py"): b"pass\n",
        Path("params.yaml"): PARAMS.encode(),
        Path("dvc.yaml"): STAGES.encode(),
        Path("picture.png"): bytes(range(256)),
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with Repo() as repo:
        repo.commit(force=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "start")
    return tmp_path


def origin() -> Any:
    return current_lineage({}, machine=MACHINE)


def test_the_difference_makes_the_present_files_from_the_commit(checkout: Path, tmp_path_factory: Any) -> None:
    assert git_diff([]) == b""
    Path("picture.png").write_bytes(bytes(range(255, -1, -1)))
    (CORPUS / "train.conll").write_bytes(b"Bonn B-LOC\r\n\xff I-LOC")
    Path("stages/new module.py").write_text("pass\n", encoding="utf-8")
    Path("params.yaml").write_text(f"{PARAMS}# changed\n", encoding="utf-8")
    status = git("status", "--porcelain")

    difference = git_diff(untracked_files("stages"))

    assert git("status", "--porcelain") == status  # the user's index is as it was
    tree = tmp_path_factory.mktemp("tree")
    git("worktree", "add", "--quiet", "--detach", str(tree / "tree"))
    git("apply", "--binary", "--whitespace=nowarn", folder=tree / "tree", text=difference)
    for path in ("picture.png", "data/corpora/mine/train.conll", "stages/new module.py"):
        assert (tree / "tree" / path).read_bytes() == Path(path).read_bytes()
    assert (tree / "tree/params.yaml").read_text(encoding="utf-8") == PARAMS  # which is kept in full


def test_only_what_git_keeps_makes_a_checkout_dirty(checkout: Path) -> None:
    commit = git("rev-parse", "HEAD").decode().strip()
    Path("notes.txt").write_text("mine", encoding="utf-8")
    Path("params.yaml").write_text(f"{PARAMS}# changed\n", encoding="utf-8")
    assert git_state() == {"commit": commit, "dirty": False, "remote": None}
    Path("picture.png").write_bytes(b"")
    git("remote", "add", "origin", "https://me:secret@example.org/ner.git")
    assert git_state() == {"commit": commit, "dirty": True, "remote": "https://***@example.org/ner.git"}


def test_without_a_commit_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() == {"commit": None, "dirty": False, "remote": None}
    assert git_diff([]) == b""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:secret@example.org/x.git", "https://***@example.org/x.git"),
        ("postgresql://tuneline:secret@127.0.0.1/mlflow", "postgresql://***@127.0.0.1/mlflow"),
        ("git@example.org:x.git", "git@example.org:x.git"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_folders_are_opened_to_the_files_that_dvc_saw(checkout: Path) -> None:
    told = stage_record(read_lock(Path("dvc.lock").read_bytes())["tokenize"])
    assert [entry["path"] for entry in told["inputs"]] == [
        "data/corpora/mine/deep/dev.conll", "data/corpora/mine/train.conll", "stages/tokenize.py",
    ]  # fmt: skip
    assert [entry["path"] for entry in told["outputs"]] == ["data/encoded/train.arrow"]
    (CORPUS / "train.conll").write_bytes(b"Bonn B-ORG\n")
    told = stage_record(read_lock(Path("dvc.lock").read_bytes())["tokenize"])
    assert told["inputs"][0]["path"] == "data/corpora/mine"  # it is another folder now, and so stays shut
    assert told["inputs"][0]["digest"].endswith(".dir")


def test_a_corpus_in_git_or_in_dvc_can_be_had_elsewhere(checkout: Path) -> None:
    assert (origin().record["rebuildable"], origin().record["outside"]) == (True, [])
    git("rm", "-r", "--quiet", "--cached", str(CORPUS))
    assert origin().record["outside"] == [str(CORPUS)]
    with Repo() as repo:
        repo.add(str(CORPUS))
    assert origin().record["outside"] == []


def test_a_file_that_git_does_not_know_and_a_place_elsewhere_cannot(checkout: Path) -> None:
    (CORPUS / "more.conll").write_text("Trier B-LOC\n", encoding="utf-8")
    record = origin().record
    assert (record["rebuildable"], record["outside"]) == (False, [str(CORPUS / "more.conll")])
    Path("params.yaml").write_text(PARAMS.replace("data/corpora/mine", "/elsewhere/corpus"), encoding="utf-8")
    assert origin().record["outside"] == ["/elsewhere/corpus"]


def test_the_file_by_which_dvc_keeps_a_folder_is_kept_too(checkout: Path) -> None:
    git("rm", "-r", "--quiet", "--cached", str(CORPUS))
    with Repo() as repo:
        repo.add(str(CORPUS.parent))  # around it
    assert git_diff([]).count(b"corpora.dvc") == 0
    told = origin()
    assert (told.record["rebuildable"], told.diff.count(b"+++ b/data/corpora.dvc")) == (True, 1)


def test_values_that_were_changed_while_the_model_was_made_are_told(checkout: Path) -> None:
    training = {"parameters": {"model": {"pretrained": "org/encoder"}}}
    require_unchanged(Path("params.yaml"), training)
    Path("params.yaml").write_text(PARAMS.replace("org/encoder", "org/other"), encoding="utf-8")
    with pytest.raises(UserError, match=r"model.pretrained: org/other in params.yaml, org/encoder when"):
        require_unchanged(Path("params.yaml"), training)


def figures(*, f1: float) -> dict[str, float]:
    return {"f1": f1, "precision": f1, "recall": f1, "f1_low": f1 - 0.1, "f1_high": f1 + 0.1, "support": 9}


def test_the_card_tells_task_data_scores_limits_and_origin_and_fits_into_mlflow(checkout: Path) -> None:
    training = {
        "parameters": {
            "model": {"pretrained": "org/encoder"}, "tokenize": {"window_length": 64}, "train": {"seed": 13}
        },
        "datasets": {"train": {"sentences": 1200, "words": 15000, "entities": 800}},
    }  # fmt: skip
    types = {f"A|TYPE{number:03}": figures(f1=number / 1000) for number in range(100)}
    table = {"entity_strict": {"micro": figures(f1=0.75), "per_type": types}}
    record = current_lineage({}, machine=MACHINE, train_key="4" * 64, digest="d" * 64).record

    text = model_card.card("mine", training, {"dev": table, "test": table}, record)

    assert len(text) <= model_card.LIMIT
    for words in (
        "# mine",
        "Fine-tuned from `org/encoder`",
        "| train | 1,200 | 15,000 | 800 |",
        "| test | all | 0.7500 | 0.7500 | 0.7500 | 0.6500 to 0.8500 | 9 |",
        "| test | A¦TYPE000 |",  # a bar would end the cell
        "The 20 worst of 100 types.",
        "Reads 64 sub-words at a time",
        f"Commit `{git('rev-parse', 'HEAD').decode().strip()}`",
        "`tuneline reproduce` makes it again",
    ):
        assert words in text
