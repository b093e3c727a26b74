"""The single thread of the tests of modeling."""

from tests.modeling.conftest import _one_thread

__all__ = ["_one_thread"]
