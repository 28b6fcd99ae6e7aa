"""prove: OpenTofu itself plans the same against the target as against the source."""

from dataclasses import dataclass

from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import NotDone, Probe
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState


@dataclass(frozen=True, slots=True)
class Prove:
    """Prove one (stack, environment)."""

    state: PlannedState
    kind = StepKind.PROVE

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name what is proved."""
        return {"stack": self.state.stack, "environment": self.state.environment}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """A proof writes nothing: one in doubt is made again."""
        return NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Plan on both sides and compare."""
        return ports.prover.prove(self.state)

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Nothing to take back."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """A proof leaves nothing behind."""
        return {}
