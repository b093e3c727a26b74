"""Split raw text into words, close to the tokenisation of CoNLL-2003 and the Penn Treebank."""

import re

WORD = re.compile(
    r"""
      https?://\S+ | [^\s@]+@[^\s@]+\.\w+    # web and mail addresses stay whole
    | (?:[^\W\d_]\.){2,}                     # U.S.  e.g.
    | \d+(?:[.,:/]\d+)*                      # 12,500  3.2  10:30
    | \w+(?=n't\b) | n't\b | '(?:s|re|ve|ll|d|m)\b   # do|n't  Siemens|'s
    | \w+(?:[-&]\w+)*                        # Munich  Berlin-based  AT&T
    | \S                                     # any other character is a word
    """,
    re.VERBOSE | re.IGNORECASE,
)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word of `text`, in characters."""
    return [match.span() for match in WORD.finditer(text)]
