"""Where to compute, in which precision, and how to make it repeatable."""

import ctypes
import os
import platform
import random
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from stages.errors import ParamsError
from stages.modeling.precision import Precision

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True)
class Compute:
    """The device and the number format of weights and activations."""

    device: torch.device
    dtype: torch.dtype

    @property
    def precision(self) -> str:
        """`bf16` or `fp32`."""
        return "bf16" if self.dtype is torch.bfloat16 else "fp32"


def choose_compute(device: str, precision: Precision) -> Compute:
    """Resolve `auto` to what this machine has; ParamsError if it lacks what was asked for."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ParamsError("runtime.device is cuda, but torch sees no GPU here. Set it to auto or cpu.")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if precision == "auto":
        precision = "bf16" if _computes_bf16(chosen) else "fp32"
    return Compute(chosen, torch.bfloat16 if precision == "bf16" else torch.float32)


def move_to(model: PreTrainedModel, compute: Compute) -> None:
    """Move a model to the device and the number format, in place."""
    torch.nn.Module.to(model, compute.device, compute.dtype)


def set_deterministic(*, seed: int, threads: int) -> None:
    """Seed all generators, allow only deterministic operators; `threads` 0 takes a fair share of the cores."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # what a library may draw from; our own draws have their own generators
    # cuBLAS is deterministic only with a fixed workspace (CUDA documentation, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Deterministic mode also fills every new tensor, against reads of memory never written: 9 % of a step for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # its module is a class
    # Memory in huge pages: 5 to 8 % of a step on a CPU are page faults and misses of the TLB. Read at the first tensor.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _keep_freed_memory()
    # Kernels are made for a shape and kept, at about 100 kB each; the lengths of a corpus ask for more than 1,024.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that torchrun started on this machine
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // neighbours))


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed: each step asks for the same tensors again, and fresh pages are slow to write.

    mallopt(3); 32 MiB is the largest threshold it takes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _computes_bf16(device: torch.device) -> bool:
    """Whether matrix products in bf16 are done in hardware; emulated, they are slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
