"""CoNLL columns: a word a line, its tag in the last column, a blank line between sentences."""

import re
from pathlib import Path

from stages.corpus.sentences import Sentence
from stages.errors import CorpusError, listed

TAG = re.compile(r"O|[BI]-\S+")
DOCUMENT_START = "-DOCSTART-"


def read_conll(path: Path) -> list[Sentence]:
    """Read every sentence of a file with its IOB1 or IOB2 tags as they stand there.

    The first column is the word, the last one the tag. Columns are parted by tabs if the line has any, else by blanks.
    A line of white space alone ends a sentence, as in WNUT-17. CorpusError lists all faulty lines of the file.
    """
    sentences: list[Sentence] = []
    faults: list[str] = []
    words: list[str] = []
    tags: list[str] = []
    first_line = 0
    # Not splitlines(): U+2028 and its like are characters of a word, not ends of a line.
    for number, line in enumerate([*_text(path).split("\n"), ""], start=1):
        if not line.strip() or line.startswith(DOCUMENT_START):
            if words:
                sentences.append(Sentence(tuple(words), tuple(tags), first_line))
                words, tags = [], []
            continue
        # Not split(): a no-break space is a character of a word.
        columns = line.rstrip("\r").split("\t") if "\t" in line else re.split(" +", line.strip(" \r"))
        word, tag = columns[0], columns[-1]
        if len(columns) < 2 or not word.strip():
            faults.append(f"{path}:{number}: needs a word and a tag, has only {line.strip()[:80]!r}")
        elif not TAG.fullmatch(tag):
            faults.append(f"{path}:{number}: {tag[:80]!r} is no tag; tags are O, B-TYPE and I-TYPE")
        else:
            first_line = first_line if words else number
            words.append(word)
            tags.append(tag)
    if faults:
        raise CorpusError(listed(f"{path} is not readable as CoNLL columns:", faults))
    return sentences


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file. data.dir must hold train.conll, dev.conll and test.conll.") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path}:{line}: not UTF-8 ({error.reason}). Convert it: iconv -t UTF-8 ...") from None
