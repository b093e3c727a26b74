"""Tables in a pipe and in a narrow terminal."""

import re
import subprocess
import sys

import pytest

from pipeline.terminal import make_table, out

HEADERS = ("name", "version", "aliases", "digest")
ROW = ("a-model-with-a-long-name-" * 5, "12", "champion, challenger", "0123456789ab")
PROGRAM = f"""
from pipeline.terminal import make_table, out
table = make_table(*{HEADERS!r})
table.add_row(*{ROW!r})
out.print(table)
"""


def test_in_a_pipe_a_row_is_one_line_with_all_that_it_holds() -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    _, row = shown.splitlines()
    assert re.split(r"  +", row.strip()) == list(ROW)


@pytest.mark.parametrize("columns", [40, 80])
def test_in_a_narrow_terminal_a_row_is_wrapped_and_nothing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setattr(out, "width", columns)
    table = make_table(*HEADERS)
    table.add_row(*ROW)
    out.print(table)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert sorted("".join("".join(lines).split())) == sorted("".join("".join(HEADERS + ROW).split()))
