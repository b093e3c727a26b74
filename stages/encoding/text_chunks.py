"""Where a raw text may be cut so that its parts, encoded one by one, become the tokens of the whole.

A text may be cut before a blank (U+0020) that follows a solid character: a letter, digit, sign of punctuation, symbol
or combining mark. The blank belongs to the chunk after it. For the steps of a tokenizer this means:

- *added tokens* are looked for in the whole text. None of those admitted here contains a blank, so none crosses a cut,
  and a text in which one occurs is not cut at all (`is_clean`).
- *normalizers* work by character, by grapheme cluster (Precompiled) or on runs of combining marks (NFC and its kin).
  U+0020 decomposes into nothing else, composes with nothing before or after it, and begins a grapheme cluster unless a
  character of the class Prepend, which is not solid here, comes before it (Unicode, UAX 15 and UAX 29). `Replace` has a
  pattern without blanks, which cannot match across a cut, or one of blanks alone, which does not either if the chunk
  before ends in no white space once it is normalized (`is_clean`). The same makes `Strip` on the right do nothing.
- *pre-tokenizers* either drop white space, or end a piece wherever white space follows something else: no alternative
  of the pattern of ByteLevel matches both, and Metaspace begins a piece with each blank. What they put before a text
  that begins with no blank, they put before its first chunk as well, and before no later one.
- *models* see one piece at a time.

A tokenizer with any other step is not cut: `chunk_rule` returns None. The tests compare both on any Unicode.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import regex

if TYPE_CHECKING:  # transformers takes a second to import
    from tokenizers.normalizers import Normalizer
    from transformers import PreTrainedTokenizerFast

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BLANK = 0x20
META = "▁"  # U+2581, what Metaspace and some normalizers put for a blank
BY_CHARACTER = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "BertNormalizer", "Precompiled"}
DROPS_WHITE_SPACE = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
BY_PIECE = {"Metaspace", "Punctuation", "Digits"}  # what may follow these
MODELS = {"WordPiece", "BPE", "Unigram", "WordLevel"}
PREPEND = regex.compile(r"\p{GCB=Prepend}")
UNASKED, SOLID, OTHER = 0, 1, 2


@dataclass(frozen=True)
class ChunkRule:
    """How the texts of one tokenizer may be cut."""

    normalizer: "Normalizer | None"
    unstripped: "Normalizer | None"  # the normalizer without Strip, which would hide white space at the end of a chunk
    keeps_white_space: bool  # whether it matters how much white space a normalizer leaves, and where
    added: re.Pattern[str] | None  # added tokens in raw text
    normalized_added: re.Pattern[str] | None  # added tokens in normalized text
    kinds: npt.NDArray[np.int8] = field(repr=False)  # by code point; filled as they occur

    def cut(self, texts: pa.StringArray) -> tuple[pa.StringArray, Int64s]:
        """Cut E texts; return the chunks, a view of the same bytes, and the number of chunks of each text.

        A text has at least one chunk. A cut text has a blank at the start of each chunk but the first.
        """
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        buffer = texts.buffers()[2]
        if not len(texts) or buffer is None or offsets[-1] == offsets[0]:
            return texts, np.ones(len(texts), np.int64)
        data = np.frombuffer(buffer, np.uint8)
        starts = offsets[:-1].astype(np.int64)
        cuts = self._find_cuts(data, int(offsets[0]), int(offsets[-1]))
        text = np.searchsorted(starts, cuts, side="right") - 1
        inside = starts[text] < cuts
        cuts, text = cuts[inside], text[inside]
        bounds = np.sort(np.concatenate([cuts, starts]), kind="stable")
        bounds = np.append(bounds, offsets[-1]).astype(np.int32)
        chunks = pa.StringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), buffer)
        return chunks, 1 + np.bincount(text, minlength=len(texts))

    def is_clean(self, chunk: str) -> bool:
        """Whether a chunk holds no added token, and stays apart from its neighbours when it is normalized."""
        if self.added is not None and self.added.search(chunk):
            return False
        if self.normalizer is None or self.unstripped is None:
            return self.normalized_added is None or not self.normalized_added.search(chunk)
        if self.normalized_added is not None and self.normalized_added.search(self.normalizer.normalize_str(chunk)):
            return False
        if not self.keeps_white_space:
            return True
        normalized = self.unstripped.normalize_str(chunk)
        if chunk.startswith(" ") and not normalized.startswith((" ", META)):
            return False
        return normalized != "" and not normalized[-1].isspace() and normalized[-1] != META

    def _find_cuts(self, data: Bytes, start: int, end: int) -> Int64s:
        """The places in [start, end) of the blanks that follow a solid character."""
        blanks: Int64s = np.flatnonzero(data[start:end] == BLANK) + start
        blanks = blanks[blanks > start]
        before = data[blanks - 1]
        solid = (before > BLANK) & (before < 0x7F)
        foreign = np.flatnonzero(before >= 0x80)
        solid[foreign] = self._are_solid(_characters_before(data, blanks[foreign]))
        return blanks[solid]

    def _are_solid(self, characters: Int64s) -> npt.NDArray[np.bool_]:
        for character in np.unique(characters[self.kinds[characters] == UNASKED]):
            self.kinds[character] = SOLID if is_solid(chr(character)) else OTHER
        solid: npt.NDArray[np.bool_] = self.kinds[characters] == SOLID
        return solid


def is_solid(character: str) -> bool:
    """Whether a text may be cut between this character and a blank."""
    return unicodedata.category(character)[0] in "LNPSM" and not PREPEND.match(character)


def _characters_before(data: Bytes, places: Int64s) -> Int64s:
    """The code points of more than one byte of UTF-8 that end at `places`."""
    last, third, second = (data[places - back].astype(np.int64) for back in (1, 2, 3))
    first = data[np.maximum(places - 4, 0)].astype(np.int64)  # used for characters of 4 bytes alone
    last &= 0x3F
    two = (third & 0x1F) << 6 | last
    three = (second & 0x0F) << 12 | (third & 0x3F) << 6 | last
    four = (first & 0x07) << 18 | (second & 0x3F) << 12 | (third & 0x3F) << 6 | last
    return np.where(third >= 0xC0, two, np.where(second >= 0xE0, three, four))


def chunk_rule(tokenizer: "PreTrainedTokenizerFast") -> ChunkRule | None:
    """How a tokenizer's texts may be cut, or None if it has a step for which that is not known."""
    backend = tokenizer.backend_tokenizer
    try:
        steps = _steps(backend.normalizer, "normalizers")
        pieces = [state for state, _ in _steps(backend.pre_tokenizer, "pretokenizers")]
    except Exception:  # a step written in Python has no state
        return None
    dropout = getattr(backend.model, "dropout", None)
    if type(backend.model).__name__ not in MODELS or dropout or not _are_local(pieces):
        return None
    if not all(_is_local(state) for state, _ in steps):
        return None
    added = backend.get_added_tokens_decoder().values()
    raw = [token.content for token in added if not token.normalized]
    normalized = [
        backend.normalizer.normalize_str(token.content) if backend.normalizer else token.content
        for token in added
        if token.normalized
    ]
    if any(" " in content for content in raw) or any({" ", META} & set(content) for content in normalized):
        return None
    is_simple = all(state["type"] in BY_CHARACTER - {"Precompiled"} for state, _ in steps)
    from tokenizers.normalizers import Sequence as Normalizers

    return ChunkRule(
        normalizer=backend.normalizer,
        unstripped=Normalizers([step for state, step in steps if state["type"] != "Strip"]) if steps else None,
        keeps_white_space=not is_simple or pieces[0]["type"] not in DROPS_WHITE_SPACE,
        added=_any_of(raw),
        normalized_added=_any_of(normalized),
        kinds=np.zeros(0x110000, np.int8),
    )


def _steps(component: Any, key: str) -> list[tuple[dict[str, Any], Any]]:
    """Return each step of a normalizer or pre-tokenizer with its state; none of None."""
    if component is None:
        return []
    state = json.loads(component.__getstate__())
    if state["type"] != "Sequence":
        return [(state, component)]
    inner = list(component)
    assert len(inner) == len(state[key])
    return [step for part in inner for step in _steps(part, key)]


def _is_local(normalizer: dict[str, Any]) -> bool:
    """Whether a normalizer may be applied chunk by chunk."""
    kind = normalizer["type"]
    if kind == "Strip":
        return not normalizer["strip_left"]
    if kind == "Replace":
        pattern = normalizer["pattern"]
        if "Regex" in pattern:
            return bool(pattern["Regex"] == " {2,}") and normalizer["content"] in {" ", META}
        if pattern["String"] == " ":
            return bool(normalizer["content"] == META)
        return not {" ", META} & set(pattern["String"])
    return kind in BY_CHARACTER


def _are_local(pre_tokenizers: list[dict[str, Any]]) -> bool:
    """Whether pre-tokenizers, one after the other, may be applied chunk by chunk."""
    if not pre_tokenizers:
        return False
    first, *others = pre_tokenizers
    if first["type"] in DROPS_WHITE_SPACE:
        return all(other["type"] in BY_PIECE for other in others)
    if others:
        return False
    if first["type"] == "ByteLevel":
        return bool(first.get("use_regex", True))
    return first["type"] == "Metaspace" and first["replacement"] == META and bool(first.get("split", True))


def _any_of(contents: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, contents))) if contents else None
