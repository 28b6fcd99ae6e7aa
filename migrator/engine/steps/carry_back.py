"""capture_target and carry_back: bring a newer state home before the target is given up. Only rollback takes them.

GitLab serves the version with the highest serial, so the target's document, of the same lineage and with a higher serial,
becomes the newest there without touching any older version.
"""

from dataclasses import dataclass

from migrator.backends.base import Presence
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, NotDone, Probe
from migrator.errors import InternalError, RefusedError
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState
from migrator.state.snapshot import digest_of, read_snapshot


@dataclass(frozen=True, slots=True)
class CaptureTarget:
    """Keep the document that the target serves, read under the target's lock: the one with the digest that was seen there.

    A version that GitLab has cannot be taken back, so one reading alone is never carried there.
    """

    state: PlannedState
    sha256: str
    kind = StepKind.CAPTURE_TARGET

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the key and what was seen there."""
        return {"key": self.state.key, "sha256": self.sha256}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Reading has no effect outside."""
        return NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Read and keep."""
        head = ports.target.read_state(self.state.key)
        if head.presence is not Presence.PRESENT:
            raise RefusedError(
                f"{self.state.key} vanished from the target while this run held its lock",
                where=self.state.name,
                now="nothing was taken back",
                hint="find out who deleted it; the last captured document is in the run's blobs",
            )
        if digest_of(head.data) != intent["sha256"]:
            raise RefusedError(
                f"two readings of {self.state.key} differ: the target is not consistent, or somebody writes past its lock",
                where=self.state.name,
                hint="migrator rollback, once it is known which",
            )
        snapshot = read_snapshot(head.data)
        digest = ports.blobs.write(head.data)
        return {"sha256": digest, "serial": snapshot.serial, "lineage": snapshot.lineage}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Nothing to take back."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """The blob stays: it is evidence."""
        return {}


@dataclass(frozen=True, slots=True)
class CarryBack:
    """Write the captured document of the target to the source, under our source lock."""

    state: PlannedState
    kind = StepKind.CARRY_BACK

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the document, the lock under which it is written, and what was carried back before (``earlier``)."""
        before = run.step(StepKind.CARRY_BACK, self.unit).intent
        earlier = [*before.get("earlier", ()), before["sha256"]] if before else []
        captured = run.step(StepKind.CAPTURE_TARGET, self.unit).evidence
        lock = run.step(StepKind.LOCK_SOURCE, self.unit).intent
        if captured is None or lock is None:
            raise InternalError(f"{self.unit}: carry_back without a captured target or a source lock")
        return {**captured, "lock_id": lock["lock_id"], "earlier": earlier}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Done when the source serves these bytes."""
        head = ports.source.read_state(self.state.name)
        if head.presence is Presence.PRESENT and digest_of(head.data) == intent["sha256"]:
            return Done(_evidence(intent))
        return NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Write and read back; the backend returns only when the source serves the bytes."""
        data = ports.blobs.read(intent["sha256"])
        ports.source.write_state(self.state.name, data, serial=intent["serial"], lock_id=intent["lock_id"])
        return _evidence(intent)

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Nothing to take back."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """A version of the source is never removed."""
        return {}


def list_left_at_source(state: PlannedState, run: RunView) -> set[str | None]:
    """Return the digests that the source may serve as long as nobody but this run wrote there; None: no document."""
    carry = run.step(StepKind.CARRY_BACK, state.name)
    if carry.evidence is not None:
        return {str(carry.evidence["sha256"])}
    begun = carry.intent or {}
    return {state.sha256, begun.get("sha256", state.sha256), *begun.get("earlier", ())}


def _evidence(intent: Body) -> Body:
    return {"sha256": intent["sha256"], "serial": intent["serial"]}
