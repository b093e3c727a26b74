"""Imported by an interpreter with this folder on its PYTHONPATH: its children by `sys.executable` are preloaded."""

import os
import sys

sys.executable = os.environ["TESTS_PYTHON"]
