"""A corpus as a whole: its three splits, in IOB2, checked."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field, field_validator

from stages.corpus.conll import read_conll
from stages.corpus.schemes import Scheme, recognise, to_iob2
from stages.corpus.sentences import SPLITS, Sentence, label_set
from stages.errors import CorpusError
from stages.params import Section


class DataParams(Section):
    """Where the annotated text is."""

    dir: str = Field(min_length=1)

    @field_validator("dir")
    @classmethod
    def _is_not_the_project(cls, folder: str) -> str:
        if Path(folder) == Path():
            raise ValueError("must be a folder of its own, not the whole project")
        return folder


@dataclass(frozen=True)
class Corpus:
    """Sentences by split with IOB2 tags, the scheme that was found in the files, and the labels of all splits."""

    splits: dict[str, list[Sentence]]
    scheme: Scheme
    labels: list[str]


def read_corpus(folder: Path) -> Corpus:
    """Read train.conll, dev.conll and test.conll of a folder; CorpusError holds the faults of all three files."""
    splits: dict[str, list[Sentence]] = {}
    faults: list[str] = []
    for split in SPLITS:
        path = folder / f"{split}.conll"
        try:
            splits[split] = read_conll(path)
        except CorpusError as error:
            faults.append(str(error))
        else:
            if not splits[split]:
                faults.append(f"{path}: no sentence in it. Each split needs at least one.")
    if faults:
        raise CorpusError("\n".join(faults))
    return _in_iob2(splits, folder)


def _in_iob2(splits: dict[str, list[Sentence]], folder: Path) -> Corpus:
    # The scheme belongs to the corpus: a small IOB1 split may by chance hold no entity that shows it.
    scheme = recognise(sentence for sentences in splits.values() for sentence in sentences)
    labels = label_set(sentence for sentences in splits.values() for sentence in sentences)
    if len(labels) == 1:
        raise CorpusError(
            f"{folder}: every word is tagged O, so there is nothing to learn. Is the tag the last column?"
        )
    converted = {
        split: [replace(sentence, tags=to_iob2(sentence.tags)) for sentence in sentences]
        for split, sentences in splits.items()
    }
    return Corpus(splits=converted, scheme=scheme, labels=labels)
