"""The files of a work tree that is perhaps not the one that was cut over: a fresh clone, another branch, edited since.

What a run did to files it did to one work tree. Every other one is brought along where a file is exactly one of the two
images that the plan knows; anything else is a person's, is left as it is, and is named with what to type.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from migrator.engine.phases import StepKind
from migrator.engine.ports import WorkTree
from migrator.engine.run import Run
from migrator.engine.steps.cut_over_file import build_post_image
from migrator.errors import JournalError, RefusedError
from migrator.journal.blobs import BlobStore
from migrator.journal.fold import RunView, StepState
from migrator.plan.model import Plan, PlannedFile
from migrator.state.snapshot import digest_of


class Here(Protocol):
    """What is on this machine: the work tree, and the documents that the run keeps."""

    @property
    def work_tree(self) -> WorkTree:
        """The files of the repository."""

    @property
    def blobs(self) -> BlobStore:
        """What the run keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtAlong:
    """Paths of files: those that were changed to be as the run says, and those that are neither image and were left."""

    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def check_files(plan: Plan, run: Run) -> None:
    """Check that every file that was cut over can be put back, and that the journal knows of every one that was.

    Raises: RefusedError that names every file that cannot, and how; JournalError.
    """
    edited: list[PlannedFile] = []
    without_copy: list[PlannedFile] = []
    for file in plan.files:
        state = run.view.step(StepKind.CUT_OVER_FILE, file.path).state
        found = read_digest(file.path, run.ports)
        if state is StepState.UNTOUCHED:
            _check_untouched(file, found)
        elif state is not StepState.UNDONE:
            if found not in (file.pre_sha256, file.post_sha256):
                edited.append(file)
            elif found == file.post_sha256 and not _can_be_restored(file, run.ports):
                without_copy.append(file)
            else:
                run.ports.work_tree.check_writable(file.path)
    if edited:
        raise RefusedError(
            f"{_list(edited)} {_were(edited)} edited after the cut-over; restoring would lose the edit",
            where=edited[0].path,
            now="nothing was touched",
            hint=f"keep the edit elsewhere (git diff), then: {describe_way_back(plan, edited, run.ports)}, "
            "then: migrator rollback",
        )
    if without_copy:
        raise RefusedError(
            f"the copy of {_list(without_copy)} that this run kept is missing or damaged",
            where=without_copy[0].path,
            now="nothing was touched",
            hint=f"put back what was there before the cut-over: {describe_way_back(plan, without_copy, run.ports)}, "
            "then: migrator rollback",
        )


def bring_along(plan: Plan, view: RunView, here: Here) -> BroughtAlong:
    """Make the files here what the run says: this may be another work tree than the one that it changed.

    Raises: RefusedError when a file cannot be written.
    """
    changed: list[str] = []
    left: list[str] = []
    for file in plan.files:
        state = view.step(StepKind.CUT_OVER_FILE, file.path).state
        if state is StepState.UNTOUCHED:
            continue
        ahead = state is StepState.DONE
        found = read_digest(file.path, here)
        wanted, other = (file.post_sha256, file.pre_sha256) if ahead else (file.pre_sha256, file.post_sha256)
        if found == wanted:
            continue
        if found != other or not (ahead or _can_be_restored(file, here)):
            left.append(file.path)
            continue
        if ahead:
            here.work_tree.replace(file.path, build_post_image(file, here.work_tree.read(file.path)))
        elif file.pre_sha256 is None:
            here.work_tree.remove(file.path)
        else:
            here.work_tree.replace(file.path, here.blobs.read(file.pre_sha256))
        changed.append(file.path)
    return BroughtAlong(changed=tuple(changed), left=tuple(left))


def describe_way_back(plan: Plan, files: Sequence[PlannedFile], here: Here) -> str:
    """Return what puts these files back to what they were before the cut-over, as it is typed: it was looked at that it does."""
    revision = plan.repository.revision or ""
    created = [file.path for file in files if file.pre_sha256 is None]
    kept = [file for file in files if file.pre_sha256 is not None]
    committed = [file.path for file in kept if here.work_tree.was_committed(file.path, file.pre_sha256 or "", revision)]
    copied = [file for file in kept if file.path not in committed]
    ways = [f"git checkout {revision[:12]} -- {_type(committed)}"] if committed else []
    ways += [f"rm {_type(created)}"] if created else []
    for file in copied:
        digest = file.pre_sha256 or ""
        if here.blobs.has(digest):
            ways.append(f"cp {shlex.quote(str(here.blobs.where(digest)))} {_type([file.path])}")
        else:
            ways.append(f"find the version of {file.path} with the sha256 {digest} (git log -- {_type([file.path])})")
    return ", ".join(ways)


def read_digest(path: str, here: Here) -> str | None:
    """Return the digest of a file of the work tree, None when there is none.

    Raises: RefusedError.
    """
    found = here.work_tree.read(path)
    return None if found is None else digest_of(found)


def _can_be_restored(file: PlannedFile, here: Here) -> bool:
    return file.pre_sha256 is None or file.pre_sha256 == file.post_sha256 or here.blobs.has(file.pre_sha256)


def _check_untouched(file: PlannedFile, found: str | None) -> None:
    """A file that this run never began with cannot name the target, unless the journal has lost its end."""
    if file.pre_sha256 != file.post_sha256 and found == file.post_sha256:
        raise JournalError(
            f"{file.path} names the target, and the journal of this run knows nothing of that: its end is missing",
            where=file.path,
            now="nothing was touched",
            hint="restore the journal from a backup, then: migrator rollback",
        )


def _list(files: Sequence[PlannedFile]) -> str:
    return ", ".join(file.path for file in files)


def _were(files: Sequence[PlannedFile]) -> str:
    return "was" if len(files) == 1 else "were"


def _type(paths: Sequence[str]) -> str:
    return " ".join(shlex.quote(path) for path in paths)
