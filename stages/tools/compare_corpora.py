"""compare_corpora: two corpora -> sentences that were added, removed, relabelled or moved, as one JSON object.

A sentence is its words; its tags are compared in IOB2, so that another tag scheme alone is no difference. One that
occurs several times is counted as often: of three in the first and two in the second, one was removed. Sentences are
paired within their split first, and with those of the same tags first. So a pair can be both moved and relabelled; a
sentence without a partner was added or removed.

Like every stage it takes only a params file; its one section is `compare_corpora`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stages.config.compare_corpora import Params
from stages.corpus.reading import Corpus, DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import TagReader, iob2_tags
from stages.corpus.text.sentences import SPLITS, WORD_SEPARATOR, Block, digests_of
from stages.errors import CorpusError
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar

Numbers = npt.NDArray[np.int64]

# Each round pairs what is still unpaired: the i-th of equal sentences of the first with the i-th of the second.
ROUNDS = (["split", "words", "tags"], ["split", "words"], ["words", "tags"], ["words"])
KINDS = ("added", "removed", "relabelled", "moved")
ABSENT = -1


@dataclass(frozen=True)
class Side:
    """One of the two corpora; `sentences` has the columns split, words and tags, the latter two as digests."""

    corpus: Corpus
    sentences: pd.DataFrame

    @classmethod
    def read(cls, params: DataParams) -> "Side":
        """Read a corpus as tokenize would; one CorpusError reports all faults."""
        corpus, diagnostics = open_corpus(params), Diagnostics()
        columns: dict[str, list[npt.NDArray[Any]]] = {"split": [], "words": [], "tags": []}
        reader = TagReader()
        with progress_bar(total=None, unit="word", description="compare") as progress:
            for block, split_S in corpus.blocks(diagnostics):
                columns["split"].append(split_S)
                columns["words"].append(block.digests)
                tags = pc.binary_join(tags_of(block, reader), WORD_SEPARATOR)
                columns["tags"].append(digests_of(tags.to_pylist()))
                progress.update(len(block.words.values))
        diagnostics.raise_errors(f"{corpus.place} is not usable:")
        if not columns["split"]:
            raise CorpusError(f"{corpus.place} holds no sentence.")
        return cls(corpus, pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()}))

    def read_sentences(self, numbers: set[int]) -> dict[int, dict[str, Any]]:
        """Read the sentences of these numbers again, with words, tags, split and place, for the output."""
        sentences: dict[int, dict[str, Any]] = {}
        reader, start = TagReader(), 0
        blocks = self.corpus.blocks(Diagnostics())
        while len(sentences) < len(numbers):
            block, split_S = next(blocks)
            in_block = [number for number in range(start, start + len(block)) if number in numbers]
            tags = tags_of(block, reader) if in_block else []
            for number in in_block:
                place = number - start
                source = Path(block.source)
                file = source.name if source == self.corpus.place else source.relative_to(self.corpus.place).as_posix()
                sentences[number] = {
                    "words": block.words[place].as_py(),
                    "tags": tags[place].as_py(),
                    "split": SPLITS[split_S[place]],
                    "where": f"{file}:{block.lines[block.offsets[place]]}",
                }
            start += len(block)
        return sentences


def main(params_file: Path) -> None:
    """Read both corpora, pair their sentences, print the differences."""
    params = load_params(params_file, Params).compare_corpora
    first, second = Side.read(params.first), Side.read(params.second)

    pairs = pair_sentences(first.sentences, second.sentences)

    print(json.dumps(find_differences(first, second, pairs, examples=params.examples), ensure_ascii=False))


def tags_of(block: Block, reader: TagReader) -> pa.ListArray:
    """[S] the IOB2 tags of each sentence."""
    entities = reader.read(block)
    return pa.ListArray.from_arrays(block.offsets, iob2_tags(entities, list(reader.types)))


def pair_sentences(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Pair the sentences of both by number, in columns `first` and `second`; ABSENT where one has no partner."""
    unpaired = [each.assign(number=np.arange(len(each))) for each in (first, second)]
    pairs = []
    for keys in ROUNDS:
        ranked = [each.assign(rank=each.groupby(keys).cumcount()) for each in unpaired]
        merged = ranked[0].merge(ranked[1], on=[*keys, "rank"], suffixes=("_first", "_second"))
        numbers = merged[["number_first", "number_second"]].to_numpy()
        pairs.append(numbers)
        unpaired = [each[~each["number"].isin(numbers[:, side])] for side, each in enumerate(unpaired)]
    removed, added = (each["number"].to_numpy() for each in unpaired)
    pairs.append(np.column_stack([removed, np.full(len(removed), ABSENT)]))
    pairs.append(np.column_stack([np.full(len(added), ABSENT), added]))
    return pd.DataFrame(np.concatenate(pairs), columns=["first", "second"])


def find_differences(first: Side, second: Side, pairs: pd.DataFrame, *, examples: int) -> dict[str, Any]:
    """Count differences by split and in total; return the first examples of each kind in the order of the corpus.

    An example is {"kinds", "first", "second"}, each of the latter two a sentence of `Side.read_sentences` or None.
    """
    number_1, number_2 = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    in_both = (number_1 != ABSENT) & (number_2 != ABSENT)
    split_1, split_2 = look_up(first, number_1, "split"), look_up(second, number_2, "split")
    tags_differ = look_up(first, number_1, "tags") != look_up(second, number_2, "tags")
    chosen = {
        "added": number_1 == ABSENT,
        "removed": number_2 == ABSENT,
        "relabelled": in_both & tags_differ,
        "moved": in_both & (split_1 != split_2),
    }
    counted = {
        "first": split_1[number_1 != ABSENT],
        "second": split_2[number_2 != ABSENT],
        "added": split_2[chosen["added"]],
        "removed": split_1[chosen["removed"]],
        "relabelled": split_2[chosen["relabelled"]],
        "moved_in": split_2[chosen["moved"]],
        "moved_out": split_1[chosen["moved"]],
    }
    by_split = {name: np.bincount(splits, minlength=len(SPLITS)).tolist() for name, splits in counted.items()}
    order = np.lexsort((number_2, number_1, np.where(number_2 == ABSENT, number_1, number_2)))
    wanted = {int(place) for kind in KINDS for place in order[chosen[kind][order]][:examples]}
    shown = [place for place in order.tolist() if place in wanted]
    sentences_1 = first.read_sentences({int(number_1[place]) for place in shown} - {ABSENT})
    sentences_2 = second.read_sentences({int(number_2[place]) for place in shown} - {ABSENT})
    return {
        "splits": {
            split: {name: counts[number] for name, counts in by_split.items()} for number, split in enumerate(SPLITS)
        },
        "counts": {kind: int(chosen[kind].sum()) for kind in KINDS},
        "examples": [
            {
                "kinds": [kind for kind in KINDS if chosen[kind][place]],
                "first": sentences_1.get(int(number_1[place])),
                "second": sentences_2.get(int(number_2[place])),
            }
            for place in shown
        ],
    }


def look_up(side: Side, numbers: Numbers, column: str) -> npt.NDArray[Any]:
    """Return the value of a column for each sentence number; for ABSENT it is arbitrary."""
    values: npt.NDArray[Any] = side.sentences[column].to_numpy()[numbers]
    return values


if __name__ == "__main__":
    run_recipe(main)
