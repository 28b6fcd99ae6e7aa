"""capture: keep the exact bytes that the source serves, now that nobody can change them.

The document must be the one that the plan saw: same sha256, lineage and serial, or the plan is stale.
"""

from dataclasses import dataclass

from migrator.backends.base import Presence
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import NotDone, Probe
from migrator.errors import StalePlanError
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState
from migrator.state.snapshot import read_snapshot


@dataclass(frozen=True, slots=True)
class Capture:
    """Read one state at the source and keep it as a blob."""

    state: PlannedState
    kind = StepKind.CAPTURE

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the document that the plan saw."""
        return {"sha256": self.state.sha256, "serial": self.state.serial}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Reading has no effect outside: a capture in doubt is simply read again."""
        return NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Read the document, compare it with the plan, keep it."""
        head = ports.source.read_state(self.state.name)
        if self.state.sha256 is None:
            if head.presence is Presence.PRESENT:
                raise self._stale("a first version was written")
            return {"sha256": None}
        if head.presence is not Presence.PRESENT:
            raise self._stale("the source serves no document any more")
        snapshot = read_snapshot(head.data)
        if (snapshot.sha256, snapshot.serial, snapshot.lineage) != (
            self.state.sha256,
            self.state.serial,
            self.state.lineage,
        ):
            raise self._stale(f"it is at serial {snapshot.serial}, the plan saw serial {self.state.serial}")
        return {"sha256": ports.blobs.write(head.data), "serial": snapshot.serial, "lineage": snapshot.lineage}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Nothing to take back."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """The blob stays: it is evidence."""
        return {}

    def _stale(self, what: str) -> StalePlanError:
        return StalePlanError(f"{self.state.name} changed after the plan was made: {what}", where=self.state.name)
