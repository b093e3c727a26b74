"""The machine of a report."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tests.gpu.workload import Target

PACKAGES = ("torch", "transformers", "safetensors", "numpy", "pyarrow")


def describe_machine(target: Target) -> None:
    """Record GPU, driver, memory, versions and cores; RuntimeError with torch's words if it sees no GPU."""
    target.record(
        python=platform.python_version(),
        system=platform.platform(),
        cpu=_cpu_name(),
        cores=os.cpu_count(),
        packages={name: version(name) for name in PACKAGES},
        cuda_build=torch.version.cuda,
        driver=_driver_version(),
        gpus=[],
    )
    if target.is_cuda:
        if torch.version.cuda is None:
            raise RuntimeError(f"torch {torch.__version__} is built for CPUs; install the build for CUDA")
        torch.cuda.init()
        properties = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        target.record(
            gpus=[
                {
                    "name": found.name,
                    "memory_bytes": found.total_memory,
                    "capability": f"{found.major}.{found.minor}",
                    "multiprocessors": found.multi_processor_count,
                }
                for found in properties
            ],
            free_bytes=torch.cuda.mem_get_info()[0],
        )


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _driver_version() -> str | None:
    """The version of NVIDIA's driver; None if there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return found.stdout.split("\n")[0].strip() or None


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one line: the GPUs or the CPU, the driver, the versions."""
    gpus: list[dict[str, Any]] = machine.get("gpus", [])
    names: Any = ", ".join(f"{gpu['name']} ({gpu['memory_bytes'] / 2**30:.0f} GiB)" for gpu in gpus)
    packages: dict[str, Any] = machine.get("packages", {})
    built = f"CUDA {machine.get('cuda_build') or 'none'}, driver {machine.get('driver') or 'none'}"
    return f"{names or machine.get('cpu')}; torch {packages.get('torch')}, {built}"
