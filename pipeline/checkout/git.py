"""The user's git, called in the checkout."""

import subprocess
from pathlib import Path

from stages.errors import UserError


def git(*words: str, folder: Path | None = None, text: bytes | None = None) -> bytes:
    """What git prints, called in `folder` and given `text` on stdin; UserError with what it says if it fails.

    No hook is run: those of the user, such as DVC's, are for them.
    """
    command = ["git", "-c", "core.hooksPath=/dev/null", *words]
    finished = subprocess.run(command, cwd=folder, input=text, capture_output=True, check=False)
    if finished.returncode:
        raise UserError(f"git {words[0]} failed: {finished.stderr.decode('utf-8', 'replace').strip()}")
    return finished.stdout


def has_commit(commit: str) -> bool:
    """Whether this repository has a commit."""
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except UserError:
        return False
    return True
