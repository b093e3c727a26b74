"""What the command line imports before it knows the command: `tuneline --help` pays for all of it."""

import subprocess
import sys

SLOW = {
    "dvc", "filelock", "httpx", "jinja2", "mlflow", "networkx", "numpy", "pandas", "prefect", "psutil", "pyarrow",
    "pydantic", "requests", "rich.table", "ruamel.yaml", "torch", "tqdm", "transformers",
}  # fmt: skip


def test_the_command_line_starts_without_slow_libraries() -> None:
    program = "import sys, pipeline.cli.main; print(*sys.modules, sep='\\n')"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(finished.stdout.split())
    assert "pipeline.cli.run" in imported
    assert imported & SLOW == set()
