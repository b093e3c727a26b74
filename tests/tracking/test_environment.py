import os

import pytest

from stages.tracking import environment


def test_all_cores_are_recorded_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert environment.current_environment.__wrapped__().cores == 6
