"""Proves and measures the engine on a GPU: one command, one report, at most eight minutes.

make gpu                                             on the GPU
make gpu DEVICE=cpu                                  the same code with tiny models on the CPU, in seconds
python -m tests.gpu --only determinism out-of-memory     some parts alone

It needs python 3.11, torch, transformers, safetensors, numpy and pyarrow, no network and no installation: a copy of
the folders stages/ and tests/ does. Exit code 1 if a part failed, 2 if there is no GPU.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPORT = Path("gpu-report.json")


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that the arguments choose, write the report, print a table; returns the exit code."""
    options = parse_arguments(arguments)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # torch and transformers are imported only now, after the environment that they read.
    from tests.gpu.machine import describe_machine, machine_line
    from tests.gpu.parts import PARTS, Part
    from tests.gpu.runner import Record, run_parts
    from tests.gpu.table import table_of

    unknown = set(options.only) - {part.name for part in PARTS}
    if unknown:
        print(
            f"no such part: {', '.join(sorted(unknown))}. They are {', '.join(p.name for p in PARTS)}.", file=sys.stderr
        )
        return 2
    chosen = [part for part in PARTS if not options.only or part.name in options.only]
    started = time.monotonic()
    report: dict[str, Any] = {
        "format_version": 1,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": options.device,
        "small": options.small,
        "machine": {},
        "parts": {},
    }

    def write() -> None:
        report["seconds"] = round(time.monotonic() - started, 1)
        report["parts"] = {part.name: report["parts"][part.name] for part in chosen if part.name in report["parts"]}
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def keep_machine(_: str, record: Record) -> None:
        report["machine"] = record.pop("figures") | record

    def keep(name: str, record: Record) -> None:
        report["parts"][name] = record
        reason = f": {record['reason'].splitlines()[0]}" if "reason" in record else ""
        print(f"{name} {record['status']} after {record['seconds']:.0f} s{reason}", file=sys.stderr, flush=True)
        write()

    with tempfile.TemporaryDirectory(prefix="tuneline-gpu-") as folder:
        known = {"device": options.device, "small": options.small, "folder": Path(folder)}
        run_parts([Part(describe_machine, 60)], **known, seconds=60, report=keep_machine)
        if report["machine"]["status"] == "failed":
            print(f"the device is not usable: {report['machine']['reason']}", file=sys.stderr)
            return 2
        print(machine_line(report["machine"]), file=sys.stderr)
        left = 60 * options.minutes - (time.monotonic() - started)
        run_parts(chosen, **known, seconds=left, report=keep)
    write()
    print(table_of(report))
    print(f"report: {options.report}")
    return int(any(record["status"] == "failed" for record in report["parts"].values()))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The options, from the command line if `arguments` is None."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description="Proves and measures the engine on a GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny models, a hundredth of the data: seconds on a CPU")
    parser.add_argument("--only", nargs="+", metavar="PART", default=[], help="run these parts alone")
    parser.add_argument("--report", type=Path, default=REPORT, metavar="FILE", help=f"default: {REPORT}")
    parser.add_argument("--minutes", type=float, default=8, help="for all parts together; what does not fit is skipped")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
