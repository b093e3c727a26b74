"""Names of entity types that are probably mistakes: two that look alike, two tags in one, invisible characters."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from stages.corpus.text.diagnostics import Diagnostics
from stages.errors import CorpusError

# Characters. The name of a metric in MLflow may have 250, and Tuneline's have up to 41 around that of a type; 9 are
# left for what makes two names different that MLflow would take for one.
MAX_TYPE = 200
SHOWN_CHARACTERS = 80
SHOWN_NAMES = 10
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}  # categories of characters that show nothing, or a gap
JOINERS = {"Pc", "Pd"}  # underscores and dashes
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # of other categories, and blank all the same
ANOTHER_TAG = re.compile(r"^[BI]-\S|[|,;/&+\s][BIESLUMW]-\S")
# Letters of Cyrillic and Greek by the Latin ones that look the same; from Unicode's confusables.txt.
AMBIGUOUS = "АВЕЅІЈКМНОРСТУХаеіјорсухѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"  # noqa: RUF001 - ambiguous on purpose
LATIN = str.maketrans(AMBIGUOUS, "ABESIJKMHOPCTYXaeijopcyxsABEZHIKMNOPTYXo")


def report_type_names(
    counts: Mapping[str, int], where: object, diagnostics: Diagnostics, *, noun: str = "type"
) -> None:
    """Add a warning for names that look alike or odd; an error for each that is too long.

    `counts` are of entities, or of examples if the names are those of a label, as `noun` says.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        alike[_reduce(name)].append(name)
        if len(name) > MAX_TYPE:
            message = (
                f"the {noun} {name[:SHOWN_CHARACTERS]!r}... has a name of {len(name):,} characters; MLflow keeps "
                f"scores only of {noun}s with names of at most {MAX_TYPE}. Shorten it"
            )
            diagnostics.add("error", "long-type", where, message)
        if noun == "type" and ANOTHER_TAG.search(name):
            message = f"the type {_shown(name)} holds another tag; does data.tags name a column of two tags?"
            diagnostics.add("warning", "tag-in-type", where, message)
    for names in alike.values():
        odd = "; ".join(filter(None, (_describe_odd(name, has_twin=len(names) > 1) for name in names)))
        if len(names) > 1:
            listed = " and ".join(f"{_shown(name)} ({counts[name]:,})" for name in names)
            message = f"the {noun}s {listed} look alike, but count as {len(names)}"
            diagnostics.add("warning", "types-alike", where, f"{message}; {odd}" if odd else message)
        elif odd:
            diagnostics.add("warning", "odd-type", where, f"the {noun} {odd}; is it meant to?")


def require_shared(place: Path, names: Collection[str], known: Collection[str]) -> None:
    """CorpusError if a corpus of old examples has no label that the new corpus or the model before has."""
    if not set(names) & set(known):
        own, others = (", ".join(map(format_type, sorted(each)[:SHOWN_NAMES])) for each in (names, known))
        raise CorpusError(
            f"{place}: none of its labels ({own}) is a label of data.dir or of the model that training starts from "
            f"({others}), so it is no corpus of old examples. Name another one: "
            "tuneline run --set train.replay.corpus=FOLDER"
        )


def format_type(name: str) -> str:
    """Return the name of a type as it is, or with escapes where it holds characters that cannot be seen."""
    return name if name.isprintable() else repr(name)


def _reduce(name: str) -> str:
    """Return what two names that look alike have in common."""
    text = unicodedata.normalize("NFKC", name).translate(LATIN).casefold().translate(LATIN)
    if NUMBER.fullmatch(text.strip()):
        return str(float(text))  # -1 is not 1, and 1.0 is
    return "".join(each for each in text if not _is_unseen(each) and unicodedata.category(each) not in JOINERS)


def _describe_odd(name: str, *, has_twin: bool) -> str:
    """Say which characters of a type cannot be seen, or seem to be of another script than most; empty if none do.

    Where another name looks like it, also those that Unicode has another, more usual form of.
    """
    odd = _foreign_letters(name) | {each for each in name if _is_unseen(each) and each != " "}
    if has_twin:
        odd |= {each for each in name if unicodedata.combining(each) or unicodedata.normalize("NFKC", each) != each}
    characters = [f"U+{ord(each):04X} {unicodedata.name(each, 'CONTROL CHARACTER')}" for each in name if each in odd]
    return f"{_shown(name)} holds {', '.join(dict.fromkeys(characters))}" if odd else ""


def _foreign_letters(name: str) -> set[str]:
    """Return the letters of Cyrillic or Greek in a name that has Latin ones too."""
    scripts = {each: unicodedata.name(each, "").partition(" ")[0] for each in name if each.isalpha()}
    has_latin = "LATIN" in scripts.values()
    return {each for each, script in scripts.items() if has_latin and script in ("CYRILLIC", "GREEK")}


def _is_unseen(character: str) -> bool:
    is_selector = "\ufe00" <= character <= "\ufe0f"
    return unicodedata.category(character) in UNSEEN or character in INVISIBLE or is_selector


def _shown(name: str) -> str:
    return repr(name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}...")
