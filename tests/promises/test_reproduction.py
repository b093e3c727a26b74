"""A registered model of each task is made again from its registry entry, bit for bit.

Entities by a linear head have tests/end_to_end/test_registry.py.
"""

import pytest

from tests.promises.conftest import Pipeline
from tests.promises.kinds import ONE_OF_EACH_TASK, OTHER_WEIGHTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # pygtrie, under DVC
]


def test_registered_model_is_rebuilt_bit_for_bit(pipeline: Pipeline) -> None:
    if pipeline.model not in (*ONE_OF_EACH_TASK[1:], *OTHER_WEIGHTS):
        pytest.skip("one kind of each task on texts is enough")
    pipeline.run()
    certificate = pipeline.json("reproduce", pipeline.model)
    assert (certificate["verdict"], certificate["differences"]) == ("bit-identical", [])
    primary = pipeline.metrics()["test"]["primary"]
    assert certificate["primary"] == {"name": primary["name"]}
    assert certificate["score"] == {"recorded": primary["value"], "rebuilt": primary["value"]}
