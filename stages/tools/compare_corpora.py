"""compare_corpora: two corpora -> examples that were added, removed, relabelled or moved, as one JSON object.

What an example is, the task says: the words of a sentence with its tags, or a text with its labels or numbers. One that
occurs several times is counted as often: of three in the first and two in the second, one was removed. Examples are
paired within their split first, and with those of the same gold answers first. So a pair can be both moved and
relabelled; an example without a partner was added or removed.

Like every stage it takes only a params file; its one section is `compare_corpora`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from stages.config.compare_corpora import Params, SideParams
from stages.corpus.parts import ComparedCorpus, Comparison
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS
from stages.errors import CorpusError, ParamsError, list_faults
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar
from stages.task import load_part

Numbers = npt.NDArray[np.int64]

# Each round pairs what is still unpaired: the i-th of equal examples of the first with the i-th of the second.
ROUNDS = (["split", "text", "answer"], ["split", "text"], ["text", "answer"], ["text"])
KINDS = ("added", "removed", "relabelled", "moved")
ABSENT = -1


@dataclass(frozen=True)
class Side:
    """One of the two corpora; `examples` has the columns split, text and answer, the latter two as digests."""

    corpus: ComparedCorpus
    examples: pd.DataFrame

    @classmethod
    def read(cls, corpus: ComparedCorpus) -> "Side":
        """Read a corpus; one CorpusError reports all faults."""
        diagnostics = Diagnostics()
        columns: dict[str, list[npt.NDArray[Any]]] = {"split": [], "text": [], "answer": []}
        with progress_bar(total=None, unit=corpus.unit, description="compare") as progress:
            for block in corpus.blocks(diagnostics):
                columns["split"].append(block.splits)
                columns["text"].append(block.texts)
                columns["answer"].append(block.answers)
                progress.update(block.size)
        diagnostics.raise_errors(f"{corpus.place} is not usable:")
        if not columns["split"]:
            raise CorpusError(f"{corpus.place} holds no {corpus.example}.")
        return cls(corpus, pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()}))

    def read_examples(self, numbers: set[int]) -> dict[int, dict[str, Any]]:
        """Read the examples of these numbers again, with text, gold answer, split and place, for the output."""
        examples: dict[int, dict[str, Any]] = {}
        start = 0
        blocks = self.corpus.blocks(Diagnostics())
        while len(examples) < len(numbers):
            block = next(blocks)
            after = start + len(block.splits)
            for number in [number for number in range(start, after) if number in numbers]:
                split = SPLITS[block.splits[number - start]]
                examples[number] = self.corpus.show(block, number - start) | {"split": split}
            start = after
        return examples


def main(params_file: Path) -> None:
    """Read both corpora, pair their examples, print the differences."""
    params = load_params(params_file, Params).compare_corpora
    first, second = (
        Side.read(open_side(side, f"{params_file} compare_corpora.{name}"))
        for name, side in (("first", params.first), ("second", params.second))
    )

    pairs = pair_examples(first.examples, second.examples)

    print(json.dumps(find_differences(first, second, pairs, examples=params.examples), ensure_ascii=False))


def open_side(side: SideParams, where: str) -> ComparedCorpus:
    """The corpus of one side; ParamsError if the sections are not those of its task, CorpusError if it is missing."""
    part = cast(Comparison, load_part(side.task["name"], "tools.comparison"))
    try:
        return part.open_compared(side.data, side.task)
    except ValidationError as error:
        faults = [".".join(map(str, fault["loc"])) + f": {fault['msg']}" for fault in error.errors()]
        raise ParamsError(list_faults(f"{where} is not usable:", faults)) from None


def pair_examples(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Pair the examples of both by number, in columns `first` and `second`; ABSENT where one has no partner."""
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

    An example is {"kinds", "first", "second"}, each of the latter two an example of `Side.read_examples` or None.
    """
    number_1, number_2 = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    in_both = (number_1 != ABSENT) & (number_2 != ABSENT)
    split_1, split_2 = look_up(first, number_1, "split"), look_up(second, number_2, "split")
    answers_differ = look_up(first, number_1, "answer") != look_up(second, number_2, "answer")
    chosen = {
        "added": number_1 == ABSENT,
        "removed": number_2 == ABSENT,
        "relabelled": in_both & answers_differ,
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
    examples_1 = first.read_examples({int(number_1[place]) for place in shown} - {ABSENT})
    examples_2 = second.read_examples({int(number_2[place]) for place in shown} - {ABSENT})
    return {
        "splits": {
            split: {name: counts[number] for name, counts in by_split.items()} for number, split in enumerate(SPLITS)
        },
        "counts": {kind: int(chosen[kind].sum()) for kind in KINDS},
        "examples": [
            {
                "kinds": [kind for kind in KINDS if chosen[kind][place]],
                "first": examples_1.get(int(number_1[place])),
                "second": examples_2.get(int(number_2[place])),
            }
            for place in shown
        ],
    }


def look_up(side: Side, numbers: Numbers, column: str) -> npt.NDArray[Any]:
    """Return the value of a column for each number of an example; for ABSENT it is arbitrary."""
    values: npt.NDArray[Any] = side.examples[column].to_numpy()[numbers]
    return values


if __name__ == "__main__":
    run_recipe(main)
