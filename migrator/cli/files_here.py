"""The files of this work tree, after a run that perhaps changed another one."""

from dataclasses import dataclass

from migrator.cli.working import Working
from migrator.engine.left_files import BroughtAlong, bring_along
from migrator.engine.phases import StepKind
from migrator.engine.work_tree import LocalWorkTree
from migrator.journal.blobs import BlobStore
from migrator.journal.fold import StepState
from migrator.state.snapshot import digest_of


def bring_files_along(working: Working) -> BroughtAlong:
    """Make the files here what the run says, unless a later run here has changed them since.

    Raises: RefusedError when a file cannot be written.
    """
    if any(run.run_id > working.run.run_id for run in working.invocation.home.runs()):
        return BroughtAlong()
    here = _Here(LocalWorkTree(working.tree.root), working.directory.blobs)
    return bring_along(working.plan, working.directory.read_view(), here)


def find_behind(working: Working) -> tuple[str, ...]:
    """Return the files here that the run cut over in another work tree, or that were put back since."""
    view, tree = working.run.read_view(), LocalWorkTree(working.tree.root)
    return tuple(
        file.path
        for file in working.plan.files
        if file.path in view.units(StepKind.CUT_OVER_FILE, StepState.DONE)
        and _digest(tree.read(file.path)) == file.pre_sha256 != file.post_sha256
    )


def _digest(data: bytes | None) -> str | None:
    return None if data is None else digest_of(data)


@dataclass(frozen=True)
class _Here:
    work_tree: LocalWorkTree
    blobs: BlobStore
