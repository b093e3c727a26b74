"""Split raw text into words, close to the tokenisation of CoNLL-2003 and the Penn Treebank, in any script."""

import re

import regex

BLANK = r"\s\x1c-\x1f"  # the white space of str.isspace


def _pattern(
    *, cluster: str, word: str, letter: str, digit: str, end: str = "", attached: str = "", unspaced: str = ""
) -> str:
    """The pattern of a word.

    `cluster`, `word`, `letter` and `digit` match one grapheme cluster: of anything but white space, of a word, of a
    letter in a word, of a number. `end` holds where a cluster ends, and `attached` matches what never stands alone
    behind one. So no word cuts a cluster. `unspaced` are the characters of scripts without blanks, before which an
    address ends.

    What looks beyond the end of its match is bounded, here by the lengths of RFC 5321, and what is unbounded takes back
    nothing: the time is linear in the length of the text.
    """
    contraction = rf"(?i:n't)(?!{word}){end}"
    return rf"""
        (?: (?i:https?)://(?:(?![{unspaced}\s]){cluster})++               # web and mail addresses stay whole
        | [^{BLANK}@{unspaced}]{{1,64}}+@[^{BLANK}@{unspaced}]{{1,255}}\.(?:{word})++
        | (?:{letter}\.{end}){{2,}}+                                      # U.S.  e.g.
        | (?:{digit})++(?:[.,:/](?:{digit})++)*+                          # 12,500  3.2  10:30
        | {contraction} | (?:(?!{contraction}){word})++(?={contraction})  # do|n't
        | '(?i:s|re|ve|ll|d|m)(?!{word}){end}                             # Siemens|'s
        | (?:{word})++(?:[-&](?:{word})++)*+                              # Munich  Berlin-based  AT&T
        | {cluster}                                                       # any other character is a word
        ) {attached}
    """


BYTE_ORDER_MARK = "\ufeff"
# Half of a character beyond U+FFFF, left where JavaScript cut a text by its length; UTF-8 cannot encode it.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Marks, joiners and whatever else continues a grapheme cluster by UAX #29.
EXTEND = r"[\p{M}\p{Grapheme_Cluster_Break=Extend}\p{Grapheme_Cluster_Break=SpacingMark}\u200D]"
# Also format characters, such as the soft hyphen, belong to the word before them (WB4 of UAX #29).
ATTACHED = rf"[{EXTEND}\p{{Cf}}--\p{{Grapheme_Cluster_Break=Prepend}}--\u200B]*+"
# Scripts without blanks between words have one cluster a word, as in UAX #29, since an entity may begin and end at any
# of them. Line break class SA is Thai, Lao, Khmer, Burmese and their relatives.
UNSPACED = r"\p{Script=Han}\p{Script=Hiragana}\p{Line_Break=SA}"
WORD_CLUSTER = rf"(?=[\w\p{{N}}--[{UNSPACED}]])\X{ATTACHED}"

WORD = regex.compile(
    _pattern(
        # Two regional indicators are a flag; `\X` would count those before them, again and again in a long row.
        cluster=rf"(?![{BLANK}])(?:\p{{Regional_Indicator}}{{1,2}}+|\X)",
        word=WORD_CLUSTER,
        letter=rf"(?![\d_]){WORD_CLUSTER}",
        digit=r"(?=\d)\X",
        end=rf"(?!{EXTEND})",
        attached=rf"{ATTACHED}\u200B*+",  # the zero width space is not visible either, but ends a word
        unspaced=UNSPACED,
    ),
    regex.VERBOSE | regex.VERSION1,
)

# Latin, Greek, Cyrillic, Korean and their punctuation, as long as each character is a cluster by itself.
SIMPLE_TEXT = re.compile("[\0-\xac\xae-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u203e\u20ac\uac00-\ud7a3]*")
SIMPLE_WORD = re.compile(_pattern(cluster=r"\S", word=r"\w", letter=r"[^\W\d_]", digit=r"\d"), re.VERBOSE)


# Format characters at the edges of a text that belong to no cluster, such as a mark of direction.
INVISIBLE = r"[\p{Cf}--\p{Grapheme_Cluster_Break=Prepend}--\p{Grapheme_Cluster_Break=Extend}--\u200D]*+"
VISIBLE = regex.compile(rf"(?s:{INVISIBLE}(.*?){INVISIBLE})", regex.VERSION1)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word of `text`, in characters.

    Every character but white space and a byte order mark at the start is part of a word, and no word cuts a grapheme
    cluster.
    """
    if SIMPLE_TEXT.fullmatch(text):
        return [match.span() for match in SIMPLE_WORD.finditer(text)]  # the same words, three times as fast
    return [match.span() for match in WORD.finditer(text, pos=text.startswith(BYTE_ORDER_MARK))]


def visible_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return start and end of the text [start, end) without the invisible characters at its edges."""
    return VISIBLE.fullmatch(text, start, end).span(1)  # type: ignore[no-any-return]  # regex has no types
