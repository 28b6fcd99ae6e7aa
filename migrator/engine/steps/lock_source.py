"""lock_source: take GitLab's lock, and keep it. From cut-over on it is the seal.

The ID is generated and journalled before the request, so that our own lock is recognised after a crash or a lost reply.
"""

from dataclasses import dataclass

from migrator.backends.base import Released
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, Foreign, NotDone, Probe
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState


@dataclass(frozen=True, slots=True)
class LockSource:
    """Lock one state at the source."""

    state: PlannedState
    kind = StepKind.LOCK_SOURCE

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Choose the lock's ID."""
        return {"lock_id": ports.new_id()}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Ask who holds the lock."""
        holder = ports.source.read_lock(self.state.name, intent["lock_id"])
        if holder is None:
            return NotDone()
        if holder.id == intent["lock_id"]:
            return Done({"lock_id": holder.id, "who": holder.who, "created": holder.created})
        return Foreign(f"{self.state.name} is locked by {holder.describe()}")

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Take the lock."""
        info = ports.build_lock("migrator: state moves to an S3-compatible target", lock_id=intent["lock_id"])
        held = ports.source.acquire_lock(self.state.name, info)
        return {"lock_id": held.id, "who": held.who, "created": held.created}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Undoing needs the ID only."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Give the lock back if it is still ours; never force."""
        released: Released = ports.source.release_lock(self.state.name, intent["lock_id"])
        return {"released": released.value}
