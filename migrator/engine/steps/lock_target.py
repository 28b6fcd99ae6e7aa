"""lock_target: create ``<key>.tflock`` as OpenTofu would, so that any client that uses ``use_lockfile`` stays out."""

from dataclasses import dataclass

from migrator.backends.base import Released
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, Foreign, NotDone, Probe
from migrator.errors import ForeignLockError
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState

OPERATION = "migrator: state moves in from GitLab"


@dataclass(frozen=True, slots=True)
class LockTarget:
    """Lock one key at the target."""

    state: PlannedState
    kind = StepKind.LOCK_TARGET

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Choose the lock's ID."""
        return {"lock_id": ports.new_id(), "key": self.state.key}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Read the lock object."""
        holder = ports.target.read_lock(self.state.key, intent["lock_id"])
        if holder is None:
            return NotDone()
        if holder.id == intent["lock_id"]:
            return Done({"lock_id": holder.id})
        return Foreign(f"{self.state.key} is locked by {holder.describe()}")

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Create the lock object."""
        info = ports.build_lock(OPERATION, lock_id=intent["lock_id"])
        return {"lock_id": ports.target.acquire_lock(self.state.key, info).id}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the lock that is held now (rollback may have taken it anew under another ID), and whether it is certain."""
        relocked = run.step(StepKind.UNLOCK_TARGET, self.unit).undo_intent
        held = run.step(self.kind, self.unit).evidence is not None
        return {"held": held, **({"lock_id": relocked["lock_id"]} if relocked else {})}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Delete the lock object if it still holds our ID.

        One that is certainly ours and is not there is taken once more, so that no stale answer makes us leave it behind.
        """
        lock_id = undo_intent.get("lock_id", intent["lock_id"])
        released = ports.target.release_lock(self.state.key, lock_id)
        if released is Released.NOT_HELD and undo_intent.get("held"):
            ports.target.acquire_lock(self.state.key, ports.build_lock(OPERATION, lock_id=lock_id))
            released = ports.target.release_lock(self.state.key, lock_id)
        if released is Released.HELD_BY_OTHER and undo_intent.get("held"):
            raise ForeignLockError(
                f"the lock of {self.state.key}, which this run held, is somebody else's",
                where=self.state.name,
                hint="find out who works at the target, although nothing of this run stands there; then: migrator rollback",
            )
        return {"released": released.value}
