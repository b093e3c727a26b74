from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.text.raw_text import word_spans


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
    assert [text[start:end] for start, end in word_spans(text)] == words.split()


@given(st.text(max_size=60))
def test_word_spans_leave_out_white_space_alone(text: str) -> None:
    spans = word_spans(text)
    covered = {index for start, end in spans for index in range(start, end)}
    assert all(text[index].isspace() for index in range(len(text)) if index not in covered)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
