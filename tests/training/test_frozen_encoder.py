"""Vectors by the encoder without fine-tuning: those of Hugging Face's own forward, pooled, for every kind of text."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModel

from stages.encoding.texts import NO_SECOND, EncodedTexts
from stages.errors import PretrainedError
from stages.training import frozen_encoder
from stages.training.frozen_encoder import choose_texts, embed_splits, embed_texts, load_encoder
from tests.modeling.conftest import COMPUTE, random_model

KINDS: dict[str, dict[str, Any]] = {
    "bert": {"kind": "bert"},
    "electra": {"kind": "electra", "embedding_size": 8},
    "distilbert": {"kind": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "modernbert": {
        "kind": "modernbert", "local_attention": 4, "global_attn_every_n_layers": 2,
        "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3,
    },  # a layer of its own lies between the encoder and the classifier
}  # fmt: skip


def texts_of(lengths: list[int], *, second: list[int] | None = None, window: list[int] | None = None) -> EncodedTexts:
    """Random rows; `window` numbers them within their examples."""
    windows = np.array(window or [0] * len(lengths), np.int32)
    example = np.cumsum(windows == 0).astype(np.int32) - 1
    names = pa.chunked_array([[f"text {number}" for number in range(example[-1] + 1)]])
    return EncodedTexts(
        offsets=np.append(0, np.cumsum(lengths)).astype(np.int32),
        input_ids=np.random.default_rng(0).integers(5, 30, sum(lengths)).astype(np.int32),
        second=np.array(second or [NO_SECOND] * len(lengths), np.int32),
        example=example,
        window=windows,
        weight=np.array([1 / (example == own).sum() for own in example], np.float32),
        texts=names,
        pairs=names if second else None,
        slices={},
        answers=None,
    )


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_vectors_are_the_mean_hidden_states_of_the_pretrained_encoder(config: dict[str, Any], tmp_path: Path) -> None:
    random_model(**config).base_model.save_pretrained(tmp_path)
    own = AutoModel.from_pretrained(tmp_path).eval()
    model = load_encoder(tmp_path, ["no", "yes"], COMPUTE["fp32"])

    def read(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            hidden = own(input_ids=torch.from_numpy(ids.astype(np.int64))[None]).last_hidden_state[0]
        return unit(hidden.mean(0).numpy())

    def rows(texts: EncodedTexts) -> list[np.ndarray]:
        return np.split(texts.input_ids, texts.offsets[1:-1])

    def embed(texts: EncodedTexts, *chosen: int) -> np.ndarray:
        return embed_texts(model, texts, COMPUTE["fp32"], np.array(chosen), batch_tokens=16)

    single = texts_of([5, 9, 3, 7])
    np.testing.assert_allclose(embed(single, 0, 1, 2, 3), [read(row) for row in rows(single)], atol=1e-5)
    np.testing.assert_allclose(embed(single, 1, 3), embed(single, 0, 1, 2, 3)[[1, 3]], atol=1e-5)

    long = texts_of([5, 9, 3, 7], window=[0, 1, 0, 0])
    first, second, *others = (read(row) for row in rows(long))
    np.testing.assert_allclose(embed(long, 0, 1, 2), [(first + second) / 2, *others], atol=1e-5)

    pairs = texts_of([5, 9], second=[2, 6])
    expected = []
    for row, start in zip(rows(pairs), (2, 6), strict=True):
        one, other = read(row[:start]), read(np.append(row[:1], row[start:]))
        expected.append(np.concatenate([one, other, abs(one - other), one * other]))
    np.testing.assert_allclose(embed(pairs, 0, 1), expected, atol=1e-5)


def test_no_more_texts_are_fitted_on_than_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of([10] * 40)
    assert len(choose_texts(texts, products=100)) == 40
    monkeypatch.setattr(frozen_encoder, "MAX_TRAIN_TOKENS", 200)
    assert choose_texts(texts, products=100).tolist() == list(range(0, 40, 2))
    monkeypatch.setattr(frozen_encoder, "MAX_PRODUCTS", 1000)
    assert choose_texts(texts, products=100).tolist() == list(range(0, 40, 4))
    assert choose_texts(texts, products=10_000).tolist() == [0]
    assert choose_texts(replace(texts, window=texts.window[:0], input_ids=texts.input_ids[:0]), products=1).size == 0


def test_splits_that_would_take_minutes_get_no_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_encoder, "read_texts", lambda *_: texts_of([10] * 40))
    monkeypatch.setattr(frozen_encoder, "MAX_TOKENS", 799)
    found = embed_splits(evaluation_of(Path("nowhere")), ["test", "dev"])
    assert found == "800 tokens of test and dev are more than 799"


def test_encoder_that_is_gone_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(frozen_encoder, "read_texts", lambda *_: texts_of([10] * 4))
    with pytest.raises(PretrainedError, match=r"no such folder.*trained from.*train again: tuneline run --stage train"):
        embed_splits(evaluation_of(tmp_path / "gone"), ["test", "dev"])


def evaluation_of(pretrained: Path) -> Any:
    encoder = {"pretrained": str(pretrained), "revision": None, "sha256": None}
    return SimpleNamespace(
        encoded=Path("nowhere"),
        record=SimpleNamespace(encoder=encoder),
        manifest=SimpleNamespace(labels=["no", "yes"]),
        compute=COMPUTE["fp32"],
        batch_tokens=16,
    )
