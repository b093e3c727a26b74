"""What a text of several windows is judged by, and tags that single changes leave without a beginning."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stages.tasks.token_classification.tools.suspects import open_entities
from stages.text_tasks.suspects import average_rows, least_rows

TEXTS: Any = SimpleNamespace(
    example=np.array([0, 1, 1, 1, 2]), weight=np.array([1, 0.5, 0.25, 0.25, 1]), first_rows=np.array([0, 1, 4])
)
VALUES = np.array([0.9, 0.8, 0.4, 0.4, 0.1])


def test_the_windows_of_a_text_count_by_their_weights() -> None:
    assert average_rows(TEXTS, VALUES).tolist() == pytest.approx([0.9, 0.6, 0.1])


def test_the_least_believed_window_of_a_text_says_what_is_likely() -> None:
    assert least_rows(TEXTS, VALUES).tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O", "B-PER I-PER O"),
        ("B-ORG I-PER I-PER", "B-ORG B-PER I-PER"),
        ("O I-PER I-PER", "O B-PER I-PER"),
        ("I-PER B-PER I-ORG", "B-PER B-PER B-ORG"),
    ],
)
def test_an_entity_that_lost_its_beginning_gets_another(tags: str, expected: str) -> None:
    assert open_entities(tags.split()) == expected.split()
