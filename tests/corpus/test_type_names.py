"""Names of entity types that look like another, hold another tag, or are too long for MLflow."""

import pytest

from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.type_names import MAX_TYPE, format_type, report_type_names

ZERO_WIDTH, SOFT_HYPHEN, NO_BREAK, BYTE_ORDER = "\u200b", "\u00ad", "\u00a0", "\ufeff"
CYRILLIC_A, GREEK_OMICRON = "\u0410", "\u039f"


def report(*names: str) -> list[tuple[str, str]]:
    diagnostics = Diagnostics()
    report_type_names(dict.fromkeys(names, 7), "corpus", diagnostics)
    assert all(each.where == "corpus" for each in diagnostics.kept)
    return [(each.code, each.message) for each in diagnostics.kept]


@pytest.mark.parametrize(
    ("other", "code_point"),
    [
        (f"ORG{ZERO_WIDTH}", "U+200B ZERO WIDTH SPACE"),
        (f"OR{SOFT_HYPHEN}G", "U+00AD SOFT HYPHEN"),
        (f"{BYTE_ORDER}ORG", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        (f"ORG{NO_BREAK}", "U+00A0 NO-BREAK SPACE"),
        (f"{GREEK_OMICRON}RG", "U+039F GREEK CAPITAL LETTER OMICRON"),
        ("org", ""),
        ("O-R_G", ""),
        ("\uff2fRG", "U+FF2F FULLWIDTH LATIN CAPITAL LETTER O"),
    ],
)
def test_names_that_look_alike_are_one_warning_with_counts_and_code_points(other: str, code_point: str) -> None:
    ((code, message),) = report("ORG", other, "PER", "LOC")
    assert code == "types-alike"
    assert "'ORG' (7)" in message
    assert f"{other!r} (7)" in message
    assert code_point in message


def test_a_name_composed_and_decomposed_looks_alike() -> None:
    ((code, message),) = report("Fl\u00e4che", "Fla\u0308che")
    assert code == "types-alike"
    assert message.endswith("'Fla\u0308che' holds U+0308 COMBINING DIAERESIS")


@pytest.mark.parametrize(
    ("name", "code", "part"),
    [
        (f"ORG{ZERO_WIDTH}", "odd-type", "U+200B"),
        (f"{CYRILLIC_A}RT", "odd-type", "U+0410 CYRILLIC CAPITAL LETTER A"),
        ("OR\x07G", "odd-type", "U+0007"),
        ("LOC|B-ORG", "tag-in-type", "'LOC|B-ORG' holds another tag"),
        ("B-ORG", "tag-in-type", "'B-ORG' holds another tag"),
        ("LOC,I-ORG", "tag-in-type", "holds another tag"),
    ],
)
def test_an_odd_name_is_a_warning_by_itself(name: str, code: str, part: str) -> None:
    ((found, message),) = report(name, "PER")
    assert found == code
    assert part in message


@pytest.mark.parametrize(
    "names",
    [
        ("PER", "LOC", "ORG", "MISC", "PERSON", "ORG-COMPANY"),
        ("PER.NAM", "PER.NOM", "GPE.NAM", "B", "O"),
        ("person-artist/author", "person-actor", "creative work", "E-MAIL"),
        ("\u041f\u0415\u0420", "\u041e\u0420\u0413"),  # Cyrillic alone
        ("\u4eba\u540d", "\u5730\u540d"),
    ],
)
def test_names_as_corpora_have_them_are_no_doubt(names: tuple[str, ...]) -> None:
    assert report(*names) == []


def test_a_name_that_mlflow_cannot_hold_is_an_error_with_its_beginning_and_length() -> None:
    assert report("x" * MAX_TYPE) == []
    ((code, message),) = report("x" * (MAX_TYPE + 1))
    assert code == "long-type"
    assert f"{'x' * 80}'..." in message
    assert "x" * 81 not in message
    assert "201 characters" in message


def test_names_show_what_cannot_be_seen() -> None:
    assert [format_type(name) for name in ("PER", "creative work", f"PER{ZERO_WIDTH}")] == [
        "PER",
        "creative work",
        "'PER\\u200b'",
    ]
