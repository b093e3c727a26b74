"""A worktree as a registered version was made from: its commit, its uncommitted changes, its parameters, its data."""

from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from pipeline.checkout.git import git, has_commit
from pipeline.checkout.layout import PARAMS
from pipeline.checkout.params_file import with_values
from stages.errors import UserError, first_line
from stages.tracking.environment import LOCK
from stages.tracking.lineage_record import LineageFiles


@contextmanager
def worktree(tree: Path, origin: LineageFiles, on_line: Callable[[str], None]) -> Iterator[None]:
    """Within, a worktree as a version was made from, at `tree`, is the working directory; the data is in it too.

    UserError if the commit or the data is not to be had.
    """
    recorded, root = origin.record["git"], Path.cwd()
    _fetch_commit(recorded["commit"], recorded["remote"])
    on_line(f"a worktree at commit {recorded['commit'][:12]}" + (" with the recorded changes" if origin.diff else ""))
    git("worktree", "prune")
    git("worktree", "add", "--quiet", "--detach", str(tree), recorded["commit"])
    try:
        if origin.diff:
            git("apply", "--binary", "--whitespace=nowarn", folder=tree, text=origin.diff)
        (tree / LOCK).write_bytes(origin.lock)
        (tree / PARAMS).write_bytes(origin.params)
        # A checkpoint left elsewhere would spare it the work.
        own = with_values(tree / PARAMS, ["runtime.checkpoint_dir=.checkpoints"])
        (tree / PARAMS).write_text(own, encoding="utf-8")
        _link_outside(tree, origin.record["outside"])
        _check_out_data(tree)
        with chdir(tree):
            yield
    finally:
        with chdir(root):
            git("worktree", "remove", "--force", str(tree))


def _fetch_commit(commit: str, remote: str | None) -> None:
    """Have a commit in this repository; UserError if its origin does not give it."""
    if has_commit(commit):
        return
    try:
        git("fetch", "--quiet", "origin", commit)
    except UserError as error:
        where = f" It was made in a clone of {remote}." if remote else ""
        raise UserError(f"commit {commit} is neither here nor to be had from origin ({error}).{where}") from None


def _link_outside(tree: Path, places: list[str]) -> None:
    """Give the worktree what neither git nor DVC keeps, if it lies here."""
    missing = [place for place in places if not Path(place).exists()]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: the model was made from this, neither git nor DVC keeps it, and it is not here. "
            "Put it there as it was, and try again."
        )
    for place in places:
        if not Path(place).is_absolute() and not (tree / place).exists():
            (tree / place).parent.mkdir(parents=True, exist_ok=True)
            (tree / place).symlink_to(Path(place).absolute())


def _check_out_data(tree: Path) -> None:
    """Check out the data that `dvc add` tracks, from DVC's cache here or else its remote."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo() as ours:
        cache, remotes, default = ours.cache.local_cache_dir, ours.config["remote"], ours.config["core"].get("remote")
    with Repo(str(tree)) as theirs, theirs.config.edit("local") as local:
        local["cache"] = {"dir": cache}
        local["remote"] = remotes
        local["core"] = {"remote": default} if default else {}
    with Repo(str(tree)) as repo:
        tracked = [stage.addressing for stage in repo.index.stages if stage.is_data_source]
        try:
            if tracked:
                repo.checkout(targets=tracked)
        except DvcException:
            try:
                repo.pull(targets=tracked)
            except Exception as error:  # each kind of remote has its own
                raise UserError(
                    f"{', '.join(tracked)}: the data is neither in DVC's cache nor to be had from its remote "
                    f"({first_line(error)}). `dvc push` it where it is."
                ) from None
