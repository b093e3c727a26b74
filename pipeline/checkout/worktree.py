"""A worktree in the state from which a registered version was made: commit, patch, parameters and data."""

from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from pipeline.checkout.layout import LOCK, PARAMS, use_pipeline
from pipeline.checkout.params_file import apply_settings
from stages.errors import UserError, first_line
from stages.runtime.project import FETCHED
from stages.tracking.git import git, has_commit
from stages.tracking.lineage_record import LineageFiles


@contextmanager
def worktree(tree: Path, lineage: LineageFiles, on_line: Callable[[str], None]) -> Iterator[None]:
    """Make a worktree at `tree` the working directory, with the files and the data that a version was made from.

    The version's pipeline is the current one there, and must have a commit. UserError if the commit or the data
    cannot be found.
    """
    recorded, root = lineage.record.git, Path.cwd()
    assert recorded.commit is not None
    _fetch_commit(recorded.commit, recorded.remote)
    on_line(f"a worktree at commit {recorded.commit[:12]}" + (" with the recorded changes" if lineage.diff else ""))
    git("worktree", "prune")
    git("worktree", "add", "--quiet", "--detach", str(tree), recorded.commit)
    try:
        if lineage.diff:
            git("apply", "--binary", "--whitespace=nowarn", folder=tree, stdin=lineage.diff)
        pipeline = Path(lineage.record.pipeline)
        params = tree / pipeline / PARAMS
        params.parent.mkdir(parents=True, exist_ok=True)
        (tree / pipeline / LOCK).write_bytes(lineage.lock)
        params.write_bytes(lineage.params)
        # With a checkpoint from elsewhere, it would resume instead of training from the start.
        own = apply_settings(params, ["runtime.checkpoint_dir=.checkpoints"])
        params.write_text(own, encoding="utf-8")
        _link_untracked(tree, lineage.record.outside)
        _link(tree, FETCHED)  # the parent, if the model went on from one
        _check_out_data(tree)
        with chdir(tree), use_pipeline(pipeline):
            yield
    finally:
        with chdir(root):
            git("worktree", "remove", "--force", str(tree))


def _fetch_commit(commit: str, remote: str | None) -> None:
    """Fetch a commit from origin unless this repository has it; UserError if origin does not provide it."""
    if has_commit(commit):
        return
    try:
        git("fetch", "--quiet", "origin", commit)
    except UserError as error:
        where = f" It was used in a clone of {remote}." if remote else ""
        raise UserError(f"commit {commit} is neither in this repository nor in origin ({error}).{where}") from None


def _link_untracked(tree: Path, paths: list[str]) -> None:
    """Link the files that neither git nor DVC tracks from here into the worktree; UserError if one is missing."""
    missing = [path for path in paths if not Path(path).exists()]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: the model was made from this, neither git nor DVC tracks it, and it is not here. "
            "Restore it unchanged, then try again."
        )
    for path in map(Path, paths):
        if not path.is_absolute():
            _link(tree, path)


def _link(tree: Path, path: Path) -> None:
    """Link a file or folder of this checkout into the worktree, if it is here and not there."""
    if path.exists() and not (tree / path).exists():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(path.absolute())


def _check_out_data(tree: Path) -> None:
    """Check out the data that `dvc add` tracks, from this checkout's DVC cache or else its remote."""
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
                    f"{', '.join(tracked)}: the data is neither in DVC's cache nor in its remote "
                    f"({first_line(error)}). `dvc push` it from a checkout that has it."
                ) from None
