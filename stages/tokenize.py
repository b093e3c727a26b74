"""tokenize: annotated text -> data/encoded, windows of sub-words with a label on the first sub-word of each word."""

import logging
from pathlib import Path

from pydantic import Field, model_validator

from stages.artifacts import file_digest, whole
from stages.command import run_recipe
from stages.corpus.reading import DataParams, read_corpus
from stages.corpus.sentences import Sentence
from stages.encoding.files import FORMAT_VERSION, Manifest, write_manifest, write_split
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.encoding.windows import Row, encoded_rows
from stages.errors import ParamsError
from stages.modeling.pretrained import PretrainedParams, find_pretrained, position_limit
from stages.params import Section, load_params

ENCODED = Path("data/encoded")

log = logging.getLogger("tokenize")


class TokenizeParams(Section):
    """How sentences become model inputs."""

    window_length: int = Field(ge=8, le=8192)
    window_overlap: int = Field(ge=0)

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> "TokenizeParams":
        if self.window_overlap > self.window_length // 2:
            raise ValueError("window_overlap may be at most half of window_length")
        return self


class Params(Section):
    """The sections that tokenize reads."""

    data: DataParams
    model: PretrainedParams
    tokenize: TokenizeParams


def main(params_file: Path) -> None:
    """Read the corpus, encode its three splits, write data/encoded."""
    params = load_params(params_file, Params)

    corpus = read_corpus(Path(params.data.dir))
    log.info("%s is %s with %s", params.data.dir, corpus.scheme, ", ".join(corpus.labels[1:]))
    pretrained = find_pretrained(params.model)
    check_length(params.tokenize.window_length, pretrained)
    tokenizer = load_tokenizer(pretrained)

    rows = {
        split: encoded_rows(
            tokenizer,
            [sentence.words for sentence in sentences],
            [[corpus.labels.index(tag) for tag in sentence.tags] for sentence in sentences],
            length=params.tokenize.window_length,
            overlap=params.tokenize.window_overlap,
        )
        for split, sentences in corpus.splits.items()
    }

    with whole(ENCODED) as folder:
        folder.mkdir()
        for split, split_rows in rows.items():
            write_split(folder / f"{split}.arrow", split_rows)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            labels=corpus.labels,
            scheme=corpus.scheme,
            tokenizer_digest=tokenizer_digest(tokenizer),
            parameters=params.tokenize.model_dump(),
            counts={split: counts(corpus.splits[split], rows[split]) for split in rows},
            digests={split: file_digest(folder / f"{split}.arrow") for split in rows},
        )
        write_manifest(folder, manifest)

    for split, numbers in manifest.counts.items():
        log.info("%-5s %s", split, ", ".join(f"{number:,} {name}" for name, number in numbers.items()))


def check_length(window_length: int, pretrained: Path) -> None:
    """Refuse windows that the encoder has no positions for."""
    limit = position_limit(pretrained)
    if limit is not None and window_length > limit:
        raise ParamsError(
            f"tokenize.window_length is {window_length}, but this encoder reads at most {limit} sub-words. "
            f"Longer sentences become several windows: tuneline run --set tokenize.window_length={limit}"
        )


def counts(sentences: list[Sentence], rows: list[Row]) -> dict[str, int]:
    """What a split holds; `subwords` counts special tokens too, since they cost the same."""
    return {
        "sentences": len(sentences),
        "words": sum(len(sentence.words) for sentence in sentences),
        "entities": sum(tag.startswith("B-") for sentence in sentences for tag in sentence.tags),
        "windows": len(rows),
        "subwords": sum(len(row["input_ids"]) for row in rows),
    }


if __name__ == "__main__":
    run_recipe(main)
