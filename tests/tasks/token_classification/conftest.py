"""Tag sequences that a model may predict: valid and invalid ones, with a hyphen in a type."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from tests.modeling.conftest import _one_thread, demo_split

__all__ = ["_one_thread", "demo_split"]

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-creative-work", "I-creative-work"]
Pairs = list[list[tuple[str, str]]]

# Sentences of (gold, predicted), some of them empty.
SENTENCE_PAIRS = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=10), min_size=1, max_size=8
)


def sides(pairs: Pairs) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags."""
    return [[g for g, _ in sentence] for sentence in pairs], [[p for _, p in sentence] for sentence in pairs]


def random_tags(sentences: int, *, seed: int, outside: float = 0.5) -> list[list[str]]:
    """Sequences of up to 15 words without any order, so most of them have invalid tags."""
    generator = np.random.default_rng(seed)
    rest = (1 - outside) / (len(TAGS) - 1)
    chances = [outside, *[rest] * (len(TAGS) - 1)]
    return [
        generator.choice(TAGS, size=int(length), p=chances).tolist() for length in generator.integers(1, 16, sentences)
    ]


def confuse(tags: Sequence[Sequence[str]], *, seed: int, share: float = 0.2) -> list[list[str]]:
    """The same tags with some replaced by any other of the same corpus."""
    generator = np.random.default_rng(seed)
    flat = np.array([tag for sentence in tags for tag in sentence])
    others = generator.choice(np.unique(flat), size=len(flat))
    chosen = np.where(generator.random(len(flat)) < share, others, flat).tolist()
    rest = iter(chosen)
    return [[next(rest) for _ in sentence] for sentence in tags]
