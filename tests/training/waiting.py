"""Catches operators that make the host wait for a device, on a CPU too, where none has to."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class NoWaiting(TorchDispatchMode):
    """While active, an operator that would make the host wait for a device is an error."""

    WAITING = (
        torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select,
        torch.ops.aten.equal, torch.ops.aten.is_nonzero,
    )  # fmt: skip

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        indices = arguments[1] if function.overloadpacket is torch.ops.aten.index else ()
        assert function.overloadpacket not in self.WAITING, function
        assert not any(index is not None and index.dtype is torch.bool for index in indices), function
        return function(*arguments, **(options or {}))
