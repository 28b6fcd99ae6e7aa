"""unlock_target: give the target's lock back. From here on the target can be written and is the authority."""

from dataclasses import dataclass

from migrator.backends.base import Released
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, NotDone, Probe
from migrator.engine.steps.lock_target import OPERATION
from migrator.errors import ForeignLockError
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState


@dataclass(frozen=True, slots=True)
class UnlockTarget:
    """Unlock one key at the target."""

    state: PlannedState
    kind = StepKind.UNLOCK_TARGET

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the lock that ``lock_target`` took."""
        return {"lock_id": (run.step(StepKind.LOCK_TARGET, self.unit).evidence or {})["lock_id"]}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """A lock object with our ID is still to be removed; any other answer means that ours is gone."""
        holder = ports.target.read_lock(self.state.key, intent["lock_id"])
        if holder is not None and holder.id == intent["lock_id"]:
            return NotDone()
        return Done({"released": Released.NOT_HELD.value})

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Delete the lock object."""
        released = ports.target.release_lock(self.state.key, intent["lock_id"])
        if released is not Released.RELEASED:
            what = "was replaced by somebody else's" if released is Released.HELD_BY_OTHER else "is not there"
            raise ForeignLockError(
                f"the lock of {self.state.key} {what} although this run holds it",
                where=self.state.name,
                now="the state and the files are in place at the target",
                hint="migrator verify says whether all is well there; then: migrator migrate",
            )
        return {"released": released.value}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Choose the ID of the lock that rollback takes."""
        return {"lock_id": ports.new_id()}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Lock the target again, before anything else is taken back."""
        info = ports.build_lock(OPERATION.replace("in from", "back to"), lock_id=undo_intent["lock_id"])
        return {"lock_id": ports.target.acquire_lock(self.state.key, info).id}


def held_target_lock(run: RunView, unit: str) -> str:
    """Return the ID of the target's lock that this run holds now, "" when it holds none."""
    relocked = run.step(StepKind.UNLOCK_TARGET, unit)
    if relocked.undo_intent:
        return str(relocked.undo_intent["lock_id"])
    intent = run.step(StepKind.LOCK_TARGET, unit).intent
    return str(intent["lock_id"]) if intent and not relocked.evidence else ""
