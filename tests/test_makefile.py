"""When `make` makes the environment again; nothing is installed here."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.checkouts import ROOT


def installs(folder: Path) -> bool:
    """Whether `make install` would install anything."""
    finished = subprocess.run(
        ["make", "--dry-run", "install", f"PYTHON={sys.executable}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return "pip install" in finished.stdout


@pytest.fixture(params=["checkout", "a checkout", "long" * 40], ids=["short", "with a space", "long"])
def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A checkout with an environment of its own, and in it a script as pip writes them."""
    folder = tmp_path / request.param
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    assert installs(folder)
    venv.create(folder / ".venv", with_pip=False)
    write_script(folder)
    (folder / ".venv/.installed").touch()
    return folder


def write_script(folder: Path) -> None:
    from pip._vendor.distlib.scripts import ScriptMaker

    maker = ScriptMaker(None, str(folder / ".venv/bin"))
    maker.executable = str(folder / ".venv/bin/python")
    maker.clobber = True
    maker.make("tuneline = pipeline.cli.main:main")


def test_an_environment_is_made_again_only_once_its_checkout_was_copied_or_moved(installed: Path) -> None:
    assert not installs(installed)
    copy = shutil.copytree(installed, installed.with_name("copy"), symlinks=True)
    assert installs(copy)
    assert not installs(installed)
    write_script(copy)
    assert not installs(copy)
    assert installs(installed.rename(installed.with_name("renamed")))
