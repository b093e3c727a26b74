"""The device and the precision of a computation, and its determinism."""

import ctypes
import os
import platform
import random
import resource
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
    """Resolve `auto` to the best that this machine has; ParamsError if it lacks the requested device."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ParamsError("runtime.device is cuda, but torch sees no GPU here. Set it to auto or cpu.")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if precision == "auto":
        precision = "bf16" if _computes_bf16(chosen) else "fp32"
    return Compute(chosen, torch.bfloat16 if precision == "bf16" else torch.float32)


def move_to(model: PreTrainedModel, compute: Compute) -> None:
    """Move a model to the device and the number format, in place."""
    torch.nn.Module.to(model, compute.device, compute.dtype)


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has had in memory at a time; of a GPU, those of tensors on it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if platform.system() == "Darwin" else 1024  # see getrusage(2) there
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def set_deterministic(*, seed: int, threads: int) -> None:
    """Seed all generators and allow only deterministic operators; `threads` 0 takes an equal share of the cores."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # for libraries; our own draws have their own generators
    # cuBLAS is deterministic only with a fixed workspace (CUDA documentation, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Deterministic mode also fills every new tensor, against reads of uninitialised memory: 9 % of a step for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # its module is a class
    # Huge pages: page faults and TLB misses take 5 to 8 % of a step on a CPU. Read when the first tensor is allocated.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _keep_freed_memory()
    # Kernels are cached by shape, at about 100 kB each; the lengths of a corpus need more than the default of 1,024.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
    # PyTorch keeps another 1,024 of them by itself, half of the memory that many lengths of windows take, for no gain.
    os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # that torchrun started on this machine
    # What this process may use, as far as the system says it: macOS does not.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or max(1, cores // local_processes))


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory: each step allocates the same tensors again, and new pages are slow to write.

    See mallopt(3); 32 MiB is the largest threshold that it accepts.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _computes_bf16(device: torch.device) -> bool:
    """Whether the hardware computes matrix products in bf16; emulated, they are slower than in fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
