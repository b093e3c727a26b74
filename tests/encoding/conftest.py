"""Small tokenizers of three kinds, trained on the demo corpus, loaded as in the stages."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from stages.encoding.tokenizer import load_tokenizer
from tests.checkouts import DEMO

SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
KINDS = ("wordpiece", "byte-level BPE", "unigram")


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    words = [line.split(" ")[0] for line in (DEMO / "train.conll").read_text(encoding="utf-8").splitlines() if line]
    if request.param == "wordpiece":
        built = Tokenizer(models.WordPiece(unk_token="<unk>"))
        built.normalizer = normalizers.BertNormalizer(lowercase=True)
        built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=800, special_tokens=SPECIALS)
    elif request.param == "byte-level BPE":
        built = Tokenizer(models.BPE())
        built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    else:
        built = Tokenizer(models.Unigram())
        built.normalizer = normalizers.NFKC()
        built.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=SPECIALS, unk_token="<unk>")
    built.train_from_iterator([" ".join(words[start : start + 20]) for start in range(0, len(words), 20)], trainer)
    built.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), SPECIALS, strict=True))
    if request.param == "byte-level BPE":
        del names["unk_token"]  # every byte has a token
    PreTrainedTokenizerFast(tokenizer_object=built, cls_token="<s>", sep_token="</s>", **names).save_pretrained(folder)
    return load_tokenizer(folder)
