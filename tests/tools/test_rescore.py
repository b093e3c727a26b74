"""One model on the sentences of another: real training runs of the tiny model, scored by evaluate and by rescore."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.registry.predictions import rescore_split
from stages.artifacts import read_json, write_json
from stages.encoding.files import read_manifest
from stages.errors import UserError
from stages.runtime import entry_point
from stages.tasks.token_classification.scores import scoring
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.metric import scores
from stages.tasks.token_classification.scores.predictions import Predictions, read_predictions, write_predictions
from stages.tasks.token_classification.service.predictor import Recognizer
from stages.tasks.token_classification.service.rescoring import rescore as rescore_sentences
from stages.tools import rescore
from tests.checkouts import run_stages, write_params, write_small_corpus

Spoil = Callable[[Path], None]

MODEL = Path("data/model")
SENTENCES = Path("data/report/predictions.parquet")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, empty_store: Path) -> Path:
    """A folder with a model and its predictions; a third of the test sentences are several windows long."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copy(empty_store, folder)
    corpus = folder / "data/corpora/demo"
    write_small_corpus(corpus, train=80)
    sentences = (corpus / "test.conll").read_text(encoding="utf-8").strip().split("\n\n")
    long = ["\n".join(sentences[start : start + 6]) for start in range(0, 36, 2)]
    (corpus / "test.conll").write_text("\n\n".join([*sentences, *long]) + "\n", encoding="utf-8")
    write_params(folder, tiny_pretrained)
    run_stages(folder, "tokenize", "train", "evaluate")
    return folder


@pytest.fixture
def folder(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to change and to work in, with a params file for rescore."""
    shutil.copytree(evaluated / MODEL, tmp_path / MODEL)
    shutil.copytree(evaluated / SENTENCES.parent, tmp_path / SENTENCES.parent)
    write_section(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rescore", "--params", "rescore.json"])
    return tmp_path


def write_section(folder: Path, **changes: str) -> None:
    section = {"model": str(MODEL), "sentences": str(SENTENCES), "split": "test", "output": "out.parquet", **changes}
    write_json(folder / "rescore.json", {"rescore": section})


def test_a_model_predicts_the_same_for_its_own_test_sentences_as_in_its_evaluation(evaluated: Path) -> None:
    counts = read_manifest(evaluated / "data/encoded").counts["test"]
    assert counts["windows"] > counts["sentences"] + 10
    own = read_predictions(evaluated / SENTENCES)["test"]
    assert len(own.predicted.entities(strict=True)) > 5  # it predicts something; the tokenizer differs from run to run

    again = rescore_split(evaluated / MODEL, evaluated / SENTENCES, split="test", scores=scoring)

    assert again.words.equals(own.words)
    assert again.gold.tags_W.tolist() == own.gold.tags_W.tolist()
    assert again.predicted.tags_W.tolist() == own.predicted.tags_W.tolist()
    np.testing.assert_allclose(again.probability_W, own.probability_W, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def of_documents(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, empty_store: Path) -> Path:
    """A folder with a model that was trained on whole documents of six sentences, several windows long."""
    folder = tmp_path_factory.mktemp("of_documents")
    shutil.copy(empty_store, folder)
    corpus = folder / "data/corpora/demo"
    write_small_corpus(corpus, train=80)
    for path in corpus.iterdir():
        sentences = path.read_text(encoding="utf-8").strip().split("\n\n")
        documents = ["\n\n".join(["-DOCSTART- O", *sentences[n : n + 6]]) for n in range(0, len(sentences), 6)]
        path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    write_params(folder, tiny_pretrained, **{"tokenize.context": "document"})
    run_stages(folder, "tokenize", "train", "evaluate")
    return folder


def test_documents_have_the_same_tags_in_evaluate_in_rescoring_and_served(
    of_documents: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = read_predictions(of_documents / SENTENCES)["test"]
    assert len(own.predicted.entities(strict=True)) > 30
    assert own.documents is not None
    again = rescore_sentences(own, of_documents / MODEL)
    assert again.predicted.tags_W.tolist() == own.predicted.tags_W.tolist()
    np.testing.assert_allclose(again.probability_W, own.probability_W, rtol=0, atol=1e-6)
    assert again.documents.tolist() == own.documents.tolist()

    recognizer, sentences = Recognizer.load(of_documents / MODEL), own.words.to_pylist()
    starts = np.flatnonzero(np.diff(own.documents)) + 1
    divided = [part for words, is_start in zip(sentences, np.isin(range(len(sentences)), starts), strict=True)
               for part in ([[], words] if is_start else [words])]  # fmt: skip
    served = [found for found, words in zip(recognizer(divided, documents=True), divided, strict=True) if words]
    entities = own.predicted.entities(strict=False)
    assert [len(found) for found in served] == np.bincount(entities.sentence_E, minlength=len(sentences)).tolist()
    for found, words in zip(served, sentences, strict=True):
        assert all(entity["text"] == " ".join(words)[entity["start"] : entity["end"]] for entity in found)

    assert caplog.text == ""
    alone = rescore_sentences(replace(own, documents=None), of_documents / MODEL)
    assert not np.allclose(alone.probability_W, own.probability_W, atol=1e-3)


def test_gold_tags_that_the_model_does_not_know_remain_and_count_as_missed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = read_predictions(SENTENCES)["test"]
    tags = tuple({"B-LOC": "B-AWARD", "I-LOC": "I-AWARD"}.get(tag, tag) for tag in own.gold.tags)
    newer = Tagging(own.gold.ids_W, own.gold.bounds, tags)
    write_predictions(SENTENCES, {"test": Predictions(own.words, newer, newer, own.probability_W)})

    entry_point.run_recipe(rescore.main)

    printed = json.loads(capsys.readouterr().out)
    assert printed == {"examples": own.gold.sentences}
    again = read_predictions(Path("out.parquet"))["test"]
    assert again.gold.tags_W.tolist() == newer.tags_W.tolist()
    assert again.predicted.tags_W.tolist() == own.predicted.tags_W.tolist()
    per_type = scores(again.gold, again.predicted)["entity_strict"]["per_type"]
    expected = scores(own.gold, own.predicted)["entity_strict"]["per_type"]
    assert (per_type["AWARD"]["f1"], per_type["AWARD"]["support"]) == (0, expected["LOC"]["support"])
    assert (per_type["LOC"]["f1"], per_type["LOC"]["support"]) == (0, 0)
    assert per_type["PER"] == expected["PER"]


def test_a_model_that_was_trained_on_documents_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = read_json(MODEL / "training.json")
    record["parameters"]["tokenize"]["context"] = "document"
    write_json(MODEL / "training.json", record)
    entry_point.run_recipe(rescore.main)
    assert "data/model was trained on whole documents; here it reads each sentence by itself" in caplog.text


def removed(file: str) -> Spoil:
    return lambda folder: (folder / file).unlink()


def cut(file: str) -> Spoil:
    def spoil(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (removed("data/model/model.safetensors"), "data/model cannot be loaded as a token classifier"),
        (cut("data/model/model.safetensors"), "data/model cannot be loaded as a token classifier"),
        (removed("data/model/config.json"), "data/model cannot be loaded as a token classifier"),
        (cut("data/model/config.json"), "data/model cannot be loaded as a token classifier"),
        (removed("data/model/training.json"), "data/model/training.json: no such file"),
        (cut("data/model/training.json"), "data/model/training.json is damaged"),
        (removed("data/model/tokenizer.json"), "data/model has a tokenizer without a vocabulary"),
        (cut("data/model/tokenizer.json"), "data/model has no usable tokenizer"),
        (lambda folder: shutil.rmtree(folder / MODEL), "data/model/training.json: no such file"),
        (removed(str(SENTENCES)), "predictions.parquet: no such file"),
        (cut(str(SENTENCES)), "predictions.parquet is damaged"),
        (lambda folder: write_section(folder, split="train"), "no examples of split 'train', only of test and dev."),
        (lambda folder: write_section(folder, modle="x"), "rescore.modle: unknown key; did you mean 'model'?"),
        (lambda folder: write_json(folder / "rescore.json", {}), "rescore: missing"),
    ],
)
def test_rescore_refuses(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, spoil: Spoil, message: str
) -> None:
    spoil(folder)
    with pytest.raises(SystemExit) as exit_:
        entry_point.run_recipe(rescore.main)
    shown = capsys.readouterr()
    assert exit_.value.code == UserError.exit_code
    assert message in shown.err
    assert shown.err.count("error: ") == 1
    assert shown.out == ""
    assert caplog.text == ""
    assert not (folder / "out.parquet").exists()


def test_rescore_split_raises_the_message_of_the_child(evaluated: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^.*training\.json: no such file"):
        rescore_split(tmp_path, evaluated / SENTENCES, split="test", scores=scoring)
