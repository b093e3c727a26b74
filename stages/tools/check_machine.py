"""check_machine: how torch would compute on this machine, as one JSON object on stdout."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch

from stages.config.sections import load_task_params
from stages.config.train import Params
from stages.errors import ParamsError, first_line
from stages.modeling.device import choose_compute, set_deterministic
from stages.runtime.entry_point import run_recipe

PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY_CLASS = "0x10de", "0x03"


@dataclass(frozen=True)
class Machine:
    """What torch finds here. `device` and `precision` are what training takes; None if it would refuse."""

    torch: str
    cuda_build: str | None  # the version of CUDA that torch was built for
    has_gpu: bool  # whether the machine has an NVIDIA GPU, whether or not torch can use it
    gpus: list[str]  # those that torch can use
    gpu_fault: str | None  # why torch, built for CUDA, cannot use any
    device: str | None
    precision: str | None
    refusal: str | None
    threads: int
    free_bytes: int  # of the memory of that device


def main(params_file: Path) -> None:
    """Describe the machine with the parameters of train."""
    print(json.dumps(asdict(describe_machine(load_task_params(params_file, Params)))))


def describe_machine(params: Params) -> Machine:
    """Ask torch for what train would compute with."""
    set_deterministic(seed=0, threads=params.train.threads)
    refusal = device = precision = None
    try:
        compute = choose_compute(params.runtime.device, params.train.precision)
        device, precision = compute.device.type, compute.precision
    except ParamsError as error:
        refusal = str(error)
    on_gpu = device == "cuda"
    return Machine(
        torch=torch.__version__,
        cuda_build=torch.version.cuda,
        has_gpu=has_nvidia_gpu(),
        gpus=[torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        gpu_fault=explain_missing_gpu(),
        device=device,
        precision=precision,
        refusal=refusal,
        threads=torch.get_num_threads(),
        free_bytes=torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available,
    )


def has_nvidia_gpu(devices: Path = PCI_DEVICES) -> bool:
    """Whether a display controller or accelerator of NVIDIA is on the PCI bus, as Linux lists it."""
    return any(
        (device / "vendor").read_text().strip() == NVIDIA and (device / "class").read_text().startswith(DISPLAY_CLASS)
        for device in devices.glob("*")
    )


def explain_missing_gpu() -> str | None:
    """torch's own words on why it can use no GPU though it is built for CUDA, such as a driver that is too old."""
    if torch.version.cuda is None or torch.cuda.is_available():
        return None
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "torch sees no GPU; does CUDA_VISIBLE_DEVICES hide it?"


if __name__ == "__main__":
    run_recipe(main)
