"""Runs parts, each in a process of its own: what crashes, hangs or exhausts the memory in one hides no other.

The process that starts them never touches the GPU and has one thread, so that its children can be forked.
"""

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from stages.modeling.device import set_deterministic
from tests.gpu.children import FORK, end_group
from tests.gpu.parts import Part
from tests.gpu.workload import SETTINGS, SkippedError, Target

AT_ONCE = 3  # promises that are checked side by side; a part that measures is alone
LEAST = 8.0  # seconds in which a part can show anything
GRACE = 5.0  # seconds between the deadline that a part is given and the one at which it is killed
SHOWN_LINES = 40  # of the log of a part that failed

Record = dict[str, Any]
Report = Callable[[str, Record], None]


@dataclass(frozen=True)
class _Running:
    part: Part
    process: ForkProcess
    folder: Path
    started: float
    limit: float


def run_parts(parts: Iterable[Part], *, device: str, small: bool, folder: Path, seconds: float, report: Report) -> None:
    """Run the parts in order within `seconds` in all, and report each by its name as it ends.

    A record has `status` (passed, failed or skipped), `seconds`, `figures`, and `reason` unless it passed; a failed one
    has the end of its `log`.
    """
    end = time.monotonic() + seconds
    waiting, running = list(parts), list[_Running]()
    try:
        while waiting or running:
            while waiting and _may_start(waiting[0], running):
                part = waiting.pop(0)
                left = end - time.monotonic()
                if left < LEAST:
                    report(part.name, {"status": "skipped", "reason": "no time left", "seconds": 0.0, "figures": {}})
                else:
                    print(f"{part.name} ...", file=sys.stderr, flush=True)
                    running.append(_start(part, device, small, folder, min(part.limit, left)))
            wait([child.process.sentinel for child in running], timeout=0.2)
            for child in list(running):
                is_late = time.monotonic() - child.started > child.limit
                if is_late or child.process.exitcode is not None:
                    running.remove(child)
                    report(child.part.name, _end(child, is_late=is_late))
    finally:
        for child in running:
            _end(child, is_late=True)


def _may_start(part: Part, running: list[_Running]) -> bool:
    if part.measures or any(child.part.measures for child in running):
        return not running
    return len(running) < AT_ONCE


def _start(part: Part, device: str, small: bool, folder: Path, limit: float) -> _Running:
    own = folder / part.name
    (own / "work").mkdir(parents=True)
    started = time.monotonic()
    target = Target(device, small, own / "work", started + limit - GRACE, own / "result.json")
    process = FORK.Process(target=_run, args=(part, target, own / "log.txt"))
    process.start()
    return _Running(part, process, own, started, limit)


def _run(part: Part, target: Target, log: Path) -> None:
    """Run a part in its own process and leave its record in `target.result`."""
    os.setsid()
    gc.freeze()  # of torch and transformers are half a million objects, and parts collect again and again
    stream = log.open("w", encoding="utf-8", buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    if part.measures:  # on one GPU: the Trainer would use all that it sees
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    record: Record = {"status": "passed"}
    try:
        set_deterministic(seed=SETTINGS.seed, threads=1 if target.small else 0)
        part.run(target)
    except SkippedError as skipped:
        record = {"status": "skipped", "reason": str(skipped)}
    except Exception as error:  # whatever goes wrong, the part has failed
        traceback.print_exc()
        record = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    target.finish(record)


def _end(child: _Running, *, is_late: bool) -> Record:
    """The record of a part that has ended, or is ended now because its time is over."""
    if child.process.pid:
        end_group(child.process.pid)
    child.process.join()
    result = child.folder / "result.json"
    record: Record = json.loads(result.read_text()) if result.exists() else {"figures": {}}
    if "status" not in record and is_late:
        status = "skipped" if child.part.measures else "failed"  # what it has measured by then is in its figures
        record |= {"status": status, "reason": f"it took longer than {child.limit:.0f} s"}
    elif "status" not in record:
        record |= {"status": "failed", "reason": f"its process ended with exit code {child.process.exitcode}"}
    record["seconds"] = round(time.monotonic() - child.started, 2)
    if record["status"] == "failed":
        lines = (child.folder / "log.txt").read_text(errors="replace").splitlines()
        record["log"] = lines[-SHOWN_LINES:]
    return record
