"""A registered model of each task is made again from its registry entry, bit for bit.

Entities by a linear head have tests/end_to_end/test_registry.py.
"""

import pytest

from tests.promises.conftest import Pipeline
from tests.promises.kinds import ADAPTED, DISTINCT, KINDS, ONE_OF_EACH_TASK, folder_name

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # pygtrie, under DVC
]

ON_TEXTS = [name for name, kind in KINDS.items() if kind.task != "token_classification"]
REPRODUCED = [
    name for name in (*ON_TEXTS, *ADAPTED)
    if name in DISTINCT and (name in ADAPTED or folder_name(name) in ONE_OF_EACH_TASK)
]  # fmt: skip


@pytest.mark.parametrize("pipeline", REPRODUCED, indirect=True)
def test_registered_model_is_rebuilt_bit_for_bit(pipeline: Pipeline) -> None:
    pipeline.run()
    certificate = pipeline.json("reproduce", pipeline.model)
    assert (certificate["verdict"], certificate["differences"]) == ("bit-identical", [])
    primary = pipeline.metrics()["test"]["primary"]
    assert certificate["primary"] == {"name": primary["name"]}
    assert certificate["score"] == {"recorded": primary["value"], "rebuilt": primary["value"]}
