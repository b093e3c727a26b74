"""Device and threads on systems that lack what Linux has."""

import os
from collections.abc import Iterator

import pytest
import torch

from stages.modeling.device import choose_compute, set_deterministic


@pytest.fixture
def _same_threads_afterwards() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_same_threads_afterwards")
@pytest.mark.parametrize(("processes", "threads"), [("1", 6), ("4", 1), ("8", 1)])
def test_threads_are_an_equal_share_of_all_cores_where_no_affinity_is_known(
    monkeypatch: pytest.MonkeyPatch, processes: str, threads: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    set_deterministic(seed=0, threads=0)
    assert torch.get_num_threads() == threads


def test_auto_takes_the_cpu_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_compute("auto", "auto").device.type == "cpu"
