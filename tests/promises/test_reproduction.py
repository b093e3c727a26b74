"""A registered model of each kind is made again from its registry entry, bit for bit."""

import pytest

from tests.promises.conftest import Pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # pygtrie, under DVC
]


def test_registered_model_is_rebuilt_bit_for_bit(pipeline: Pipeline) -> None:
    pipeline.run()
    certificate = pipeline.json("reproduce", pipeline.model)
    assert (certificate["verdict"], certificate["differences"]) == ("bit-identical", [])
    primary = pipeline.metrics()["test"]["primary"]
    assert certificate["primary"] == {"name": primary["name"]}
    assert certificate["score"] == {"recorded": primary["value"], "rebuilt": primary["value"]}
