"""The splits, the tiny models and the single thread of the tests of modeling."""

from tests.modeling.conftest import _one_thread, demo_split

__all__ = ["_one_thread", "demo_split"]
