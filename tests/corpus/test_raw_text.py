import re
from itertools import accumulate, pairwise
from unicodedata import category, normalize

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from stages.corpus.text import raw_text
from stages.corpus.text.raw_text import visible_span, word_spans

ODD = (
    "aZ9_.,:/@'-&nt s\n\x1c\u00a0\u0308\u200b\u200c\u200d\u00ad\ufeff\u200e\ufe0f\u20e3\U000e0067"
    "👍🏽👩🇩🇪कि्षনুநிกำแั中のカー각각\u0600\u0d4e\u2139Ⓜ²①٣ကျွာ်שָמִّ"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters()), max_size=30)


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Angela Merkel visited Siemens in Munich.", "Angela Merkel visited Siemens in Munich ."),
        ("Siemens's U.S. arm didn't pay 12,500.50 (3.2%).", "Siemens 's U.S. arm did n't pay 12,500.50 ( 3.2 % ) ."),
        ("Berlin-based AT&T, e.g. we'll", "Berlin-based AT&T , e.g. we 'll"),
        ("write to a.b@c.org or https://x.org/y?z=1 today", "write to a.b@c.org or https://x.org/y?z=1 today"),
        ("  Sørbø\tÅsa\n", "Sørbø Åsa"),
        ("", ""),
    ],
)
def test_word_spans_cut_as_the_treebank_does(text: str, words: str) -> None:
    assert words_of(text) == words.split()


@pytest.mark.parametrize(
    "text",
    [
        "प्रधानमंत्री नरेन्द्र मोदी ने दिल्ली में कहा",  # Hindi
        "রবীন্দ্রনাথ ঠাকুর কলকাতায় জন্মগ্রহণ করেন",  # Bengali
        "தமிழ் நாட்டின் தலைநகரம் சென்னை",  # Tamil
        "مُحَمَّد بْنُ عَبْدِ ٱللَّٰه",  # vocalised Arabic
        "בְּרֵאשִׁית בָּרָא אֱלֹהִים",  # vocalised Hebrew
        "می\u200cخواهم بروم",  # noqa: RUF001 - Persian with a zero width non-joiner
        "👩\u200d👩\u200d👧 👍🏽 🏴\U000e0067\U000e0062\U000e007f 🇩🇪 1\ufe0f\u20e3 ❤\ufe0f",  # emoji
        normalize("NFD", "Zoë Kärn kam nach Köln"),
        normalize("NFD", "각하 서울"),
        "Donau\u00addampf\u00adschiff legt an",  # soft hyphens
    ],
)  # fmt: skip
def test_marks_and_joiners_are_part_of_their_word(text: str) -> None:
    assert words_of(text) == text.split(" ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iPhone手机在北京12月", "iPhone 手 机 在 北 京 12 月"),
        ("オバマのアメリカ", "オバマ の アメリカ"),
        ("請電郵a@b.tw或https://x.tw看", "請 電 郵 a@b.tw 或 https://x.tw 看"),
        ("ที่นี่", "ที่ นี่"),
        ("ရန်ကုန်", "ရ န် ကု န်"),
    ],
)
def test_scripts_without_blanks_have_a_cluster_a_word(text: str, words: str) -> None:
    assert words_of(text) == words.split()


def test_a_byte_order_mark_at_the_start_is_no_word() -> None:
    assert word_spans("\ufeffAda Kern") == [(1, 4), (5, 9)]


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("\u200fAda\u200e", "Ada"),
        ("\u2060", ""),
        ("a\u00adb\u00ad", "a\u00adb"),
        ("👩\u200d👧\ufeff", "👩\u200d👧"),
        ("\n", "\n"),
    ],
)
def test_visible_span_leaves_out_invisible_edges(text: str, visible: str) -> None:
    start, end = visible_span(f"x{text}x", 1, len(text) + 1)
    assert f"x{text}x"[start:end] == visible


@given(TEXTS)
@example("9\u00ad\U000e0067\ufe0f")
def test_words_cover_all_but_white_space_and_cut_no_cluster(text: str) -> None:
    spans = word_spans(text)
    covered = {index for start, end in spans for index in range(start, end)}
    assert all(text[index].isspace() for index in range(text.startswith("\ufeff"), len(text)) if index not in covered)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
    edges = {0, *accumulate(len(cluster) for cluster in regex.findall(r"\X", text))}
    for start, end in spans:
        assert end in edges
        assert start in edges or text[start - 1].isspace() or text[start - 1] == "\ufeff"


@given(st.text(st.characters(categories=["L"], exclude_characters="ſﬅﬆ"), min_size=1, max_size=20))
def test_composed_and_decomposed_text_have_the_same_words(text: str) -> None:
    composed, decomposed = normalize("NFC", text), normalize("NFD", text)
    if len(decomposed) == len(text) or any(category(character) == "Lo" for character in composed):
        return  # without marks there is nothing to compare
    assert [normalize("NFC", word) for word in words_of(decomposed)] == words_of(composed)


@given(st.from_regex(raw_text.SIMPLE_TEXT, fullmatch=True) | st.text("aZ9_.,:/@'-&nt sre²\n\x1c\r\0", max_size=30))
def test_the_pattern_for_simple_text_finds_the_same_words(text: str) -> None:
    assert [match.span() for match in raw_text.WORD.finditer(text)] == word_spans(text)


def test_simple_text_has_a_character_a_cluster() -> None:
    simple = [chr(code) for code in range(0x110000) if raw_text.SIMPLE_TEXT.fullmatch(chr(code))]
    assert len(simple) > 10_000
    assert not regex.search(rf"{raw_text.EXTEND}|[\p{{Cf}}{raw_text.UNSPACED}]", "".join(simple), regex.VERSION1)
    clusters = regex.findall(r"\X", "".join(simple))
    assert [cluster for cluster in clusters if len(cluster) > 1] == []


@pytest.mark.parametrize(("theirs", "ours"), [(r"\s", rf"[{raw_text.BLANK}]"), (r"\w", r"[\w\p{N}]"), (r"\d", r"\d")])
def test_re_and_regex_agree_on_simple_text(theirs: str, ours: str) -> None:
    for code in range(0x110000):
        if raw_text.SIMPLE_TEXT.fullmatch(chr(code)):
            assert bool(re.fullmatch(theirs, chr(code))) == bool(regex.fullmatch(ours, chr(code))), hex(code)


@pytest.mark.parametrize(
    ("unit", "count"),
    [
        (".", 100_000), ("中", 100_000), ("ก", 100_000), ("a", 1), ("a@", 200_000), ("1.", 2), ("a-", 2),
        ("e\u0308", 1), ("क्षि", 1), ("👍🏽", 100_000), ("🇩", 50_000), ("👩\u200d", 1), ("\u00ad", 1), ("a\u00ad", 1),
        ("'", 100_000), ('{"a":1}', 700_000), ("http://", 1), ("an't", 200_000), ("\u0308", 1),
    ],
)  # fmt: skip
def test_long_texts_without_blanks_are_cut(unit: str, count: int) -> None:
    # A pattern that scans the rest of the text at each of its characters would need minutes for each of these.
    assert len(word_spans(unit * 100_000)) == count
