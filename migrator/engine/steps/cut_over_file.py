"""cut_over_file: make one file name the target, in one move.

The file must be exactly what the plan read; its bytes are kept as a blob before it is replaced, so that undo returns it
byte for byte.
"""

from dataclasses import dataclass

from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, Foreign, NotDone, Probe
from migrator.errors import RefusedError, StalePlanError
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedFile
from migrator.rewrite.spans import Edit, apply_edits
from migrator.state.snapshot import digest_of


@dataclass(frozen=True, slots=True)
class CutOverFile:
    """Replace one file of the work tree."""

    file: PlannedFile
    kind = StepKind.CUT_OVER_FILE

    @property
    def unit(self) -> str:
        """The path of the file."""
        return self.file.path

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Keep the file as it is, and name both images."""
        before = ports.work_tree.read(self.file.path)
        if _digest(before) != self.file.pre_sha256:
            raise StalePlanError(f"{self.file.path} changed after the plan was made", where=self.file.path)
        if before is not None:
            ports.blobs.write(before)
        return {"pre_sha256": self.file.pre_sha256, "post_sha256": self.file.post_sha256}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Compare the file with both images."""
        found = _digest(ports.work_tree.read(self.file.path))
        if found == intent["post_sha256"]:
            return Done(intent)
        return NotDone() if found == intent["pre_sha256"] else Foreign(f"{self.file.path} is neither image of the plan")

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Replace the file."""
        found = ports.work_tree.read(self.file.path)
        if _digest(found) == intent["post_sha256"]:
            return intent
        if _digest(found) != intent["pre_sha256"]:
            raise StalePlanError(f"{self.file.path} changed after the plan was made", where=self.file.path)
        ports.work_tree.replace(self.file.path, build_post_image(self.file, found))
        return intent

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """The intent names both images already."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Restore the pre-image if the file is still the post-image."""
        found = _digest(ports.work_tree.read(self.file.path))
        if found == intent["pre_sha256"]:
            ports.work_tree.sweep(self.file.path)
            return {"restored": "already"}
        if found != intent["post_sha256"]:
            raise RefusedError(
                f"{self.file.path} was edited after the cut-over; restoring it would lose the edit",
                where=self.file.path,
                now="this file was left as it is",
                hint=f"take the edit back (git diff, git log -- {self.file.path}), then: migrator rollback",
            )
        if intent["pre_sha256"] is None:
            ports.work_tree.remove(self.file.path)
        else:
            ports.work_tree.replace(self.file.path, ports.blobs.read(intent["pre_sha256"]))
        return {"restored": "yes"}


def build_post_image(file: PlannedFile, before: bytes | None) -> bytes:
    """Return the bytes of the file after cut-over.

    Raises: StalePlanError when the edits do not give the image that was planned.
    """
    edits = [Edit.at(edit.start, edit.end, edit.text) for edit in file.edits]
    after = apply_edits((before or b"").decode("utf-8"), edits).encode("utf-8")
    if digest_of(after) != file.post_sha256:
        raise StalePlanError(f"the edits of {file.path} do not give the planned file", where=file.path)
    return after


def _digest(data: bytes | None) -> str | None:
    return None if data is None else digest_of(data)
