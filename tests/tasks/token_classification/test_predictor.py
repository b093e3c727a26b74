"""A trained model on text as it arrives: from files of any editor, from JavaScript, from PDFs."""

import shutil
from pathlib import Path
from unicodedata import normalize

import pytest

from stages.tasks.token_classification.service.predictor import Recognizer
from tests.checkouts import run_stages, write_params

TEXT = "Angela Merkel visited Siemens in Munich."


@pytest.fixture(scope="module")
def recognizer(
    tmp_path_factory: pytest.TempPathFactory, encoded: Path, tiny_pretrained: Path, empty_store: Path
) -> Recognizer:
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(encoded, folder / "data/encoded")
    shutil.copy(empty_store, folder)
    write_params(folder, tiny_pretrained)
    run_stages(folder, "train")
    return Recognizer.load(folder / "data/model")


def test_a_byte_order_mark_is_no_word_and_changes_no_entity(recognizer: Recognizer) -> None:
    (plain,) = recognizer([TEXT])
    (marked,) = recognizer(["\ufeff" + TEXT])
    assert plain
    moved = [entity | {"start": entity["start"] + 1, "end": entity["end"] + 1} for entity in plain]
    assert marked == [entity | {"score": pytest.approx(entity["score"])} for entity in moved]


def test_invisible_characters_are_no_part_of_an_entity(recognizer: Recognizer) -> None:
    (entities,) = recognizer(["\u200f\u200fAngela Merkel\u200e visited \u2060 Siemens\u200b in Munich."])
    assert entities
    for entity in entities:
        assert not {entity["text"][0], entity["text"][-1]} & set("\u200e\u200f\u2060\u200b")


def test_half_a_character_is_read_as_unknown_and_harms_no_other_text(recognizer: Recognizer) -> None:
    (alone,) = recognizer([TEXT])
    cut, whole = recognizer(["Siemens \ud83d Munich \ud83d", TEXT])
    assert [entity["text"] for entity in whole] == [entity["text"] for entity in alone]
    for entity in cut:
        assert entity["text"] == "Siemens \ufffd Munich \ufffd"[entity["start"] : entity["end"]]


@pytest.mark.parametrize("text", ["", " \n", "\ufeff", "\ud83d", "\0", "\u0308", "\u200b", "👍🏽" * 400, "." * 3000])
def test_any_text_is_answered(recognizer: Recognizer, text: str) -> None:
    entities, others = recognizer([text, TEXT])
    assert others
    for entity in entities:
        assert 0 <= entity["start"] < entity["end"] <= len(text)


def test_decomposed_text_has_whole_words(recognizer: Recognizer) -> None:
    composed = "Zoë Kärn kam nach Köln"
    decomposed = normalize("NFD", composed)
    for text in (composed, decomposed):
        (entities,) = recognizer([text])
        edges = {0, len(text), *(place for place, character in enumerate(text) if character == " ")}
        assert {entity["end"] for entity in entities} <= edges, entities
