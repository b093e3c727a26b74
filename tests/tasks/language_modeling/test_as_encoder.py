"""A language model as the encoder of another task."""

import logging
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from pipeline.checkout.new_pipeline import write_params_text
from pipeline.checkout.params_file import apply_settings
from stages import tokenize, train
from stages.artifacts import file_digest, read_json
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.tasks.language_modeling.model.loading import load_model
from tests.checkouts import ROOT
from tests.promises.kinds import QUICK, write_table
from tests.tasks.kinds import KINDS, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Path:
    return write_model(KINDS["masked-words"], tmp_path_factory.mktemp("language") / "model", tiny_pretrained)


def test_it_loads_as_a_plain_encoder_with_its_tokenizer(folder: Path, tiny_pretrained: Path) -> None:
    encoder, model = AutoModel.from_pretrained(folder), load_model(folder)
    assert all(torch.equal(value, model.bert.state_dict()[name]) for name, value in encoder.state_dict().items()
               if not name.startswith("pooler."))  # fmt: skip
    assert tokenizer_digest(load_tokenizer(folder)) == tokenizer_digest(load_tokenizer(tiny_pretrained))


def test_a_classifier_of_texts_is_trained_from_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(ROOT)
    text = write_params_text("text_classification")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.tracking.sync.sync_live", lambda _: nullcontext())
    monkeypatch.setattr("stages.tracking.sync.try_sync", lambda *_, **__: None)
    params = Path("params.yaml")
    params.write_text(text, encoding="utf-8")
    write_table(Path("corpus"))
    model = (f"model.pretrained={folder}", "model.revision=null")
    settings = (*QUICK, *model, f"model.sha256={file_digest(folder / 'model.safetensors')}", "data.dir=corpus")
    task = ("data.label=feeling", "tokenize.window_length=32", "tokenize.window_overlap=8", "train.epochs=3")
    params.write_text(apply_settings(params, [*settings, *task]), encoding="utf-8")
    tokenize.main(params)
    with caplog.at_level(logging.INFO, logger="train"):
        train.main(params)
    assert read_json(Path("data/model/config.json"))["architectures"] == ["BertForTokenClassification"]
    assert "kept epoch" in caplog.messages[-1]
