"""Masks that a served model fills, and its surprise at the masks by which another one was scored."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM

from stages.encoding.texts import read_texts
from stages.errors import UserError
from stages.tasks.language_modeling.model.head import masking_of
from stages.tasks.language_modeling.model.inference import describe_guesses, guess
from stages.tasks.language_modeling.model.split import mask_texts
from stages.tasks.language_modeling.scores.predictions import Predictions, read_predictions, write_predictions
from stages.tasks.language_modeling.scores.scoring import have_same_answers, have_same_examples
from stages.tasks.language_modeling.service.predictor import CANDIDATES, MaskFiller, load_filler
from stages.tasks.language_modeling.service.rescoring import rescore
from stages.text_tasks.predictions import examples_of
from tests.tasks.kinds import KINDS, write_model
from tests.tasks.language_modeling.windows import encode, write_documents

TEXT = "The [MASK] visited Siemens in [MASK]."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Path:
    return write_model(KINDS["masked-words"], tmp_path_factory.mktemp("service") / "model", tiny_pretrained)


@pytest.fixture(scope="module")
def filler(folder: Path) -> MaskFiller:
    return load_filler(folder)


def test_candidates_are_the_likeliest_tokens_by_transformers(filler: MaskFiller, folder: Path) -> None:
    tokenizer, model = filler.trained.tokenizer, AutoModelForMaskedLM.from_pretrained(folder).eval()
    ids = tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        logits = model(**ids).logits[0][ids["input_ids"][0] == tokenizer.mask_token_id]
    (answer,) = filler([TEXT])
    assert len(answer["masks"]) == 2
    for mask, probabilities in zip(answer["masks"], logits.softmax(-1), strict=True):
        best = probabilities.topk(CANDIDATES)
        assert [each["score"] for each in mask["candidates"]] == pytest.approx(best.values.tolist(), abs=0.01)
        assert mask["candidates"][0]["word"] == tokenizer.decode([int(best.indices[0])])


def test_every_mask_of_a_long_text_is_filled_once_in_order(filler: MaskFiller) -> None:
    long = " ".join([TEXT] * 12)  # several windows
    answers = filler(["no mask", long, "", TEXT])
    assert [len(answer["masks"]) for answer in answers] == [0, 24, 0, 2]
    assert answers[3]["masks"][0]["candidates"][0]["score"] == pytest.approx(
        filler([TEXT])[0]["masks"][0]["candidates"][0]["score"], abs=0.01
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, filler: MaskFiller) -> Predictions:
    """The predictions of the model for a test split, as evaluate makes them, written and read."""
    work = tmp_path_factory.mktemp("scored")
    write_documents(work / "raw")
    manifest = encode(work / "raw", tiny_pretrained, work / "encoded")
    texts, own = read_texts(work / "encoded", "test"), filler.trained
    split = mask_texts(texts, masking_of(manifest, 0.15))
    guesses = guess(own.model, split, own.compute, batch_tokens=4096)
    write_predictions(work / "file", {"test": describe_guesses(guesses, split, own.tokenizer, examples_of(texts))})
    return read_predictions(work / "file")["test"]


def test_a_model_is_rescored_on_the_masks_of_another_as_if_it_had_been_evaluated(
    scored: Predictions, folder: Path
) -> None:
    found = rescore(scored, folder)
    assert have_same_examples(found, scored)
    assert have_same_answers(found, scored)
    assert found.guesses.equals(scored.guesses)


def test_a_model_with_another_tokenizer_cannot_be_rescored(scored: Predictions, folder: Path) -> None:
    with pytest.raises(UserError, match="the two have different tokenizers"):
        rescore(replace(scored, tokenizer_digest="another"), folder)
