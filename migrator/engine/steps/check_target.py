"""check_target: believe nothing that was not read back.

The target must serve the captured bytes, and the source, read once more under its lock, must be unchanged. Digests in
replies prove nothing: several stores echo them unverified (reference: s3-targets, fact on checksums).
"""

from dataclasses import dataclass

from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import NotDone, Probe
from migrator.errors import CheckFailedError
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """Read one state back from both sides."""

    state: PlannedState
    kind = StepKind.CHECK_TARGET

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the document that both sides must serve."""
        return {"sha256": self.state.sha256}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Reading has no effect: a check in doubt is made again."""
        return NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Compare both sides with the capture; equal digests mean equal lineage and serial."""
        expected = intent["sha256"]
        sides = (
            ("target", ports.target.read_state(self.state.key).sha256),
            ("source", ports.source.read_state(self.state.name).sha256),
        )
        for side, found in sides:
            if found != expected:
                raise CheckFailedError(
                    f"the {side} does not serve the bytes that were captured",
                    where=f"{self.state.name}: expected sha256 {_short(expected)}, found {_short(found)}",
                    now="both sides are locked by this run and no file was changed",
                    hint="migrator rollback",
                )
        return {"sha256": expected, "serial": self.state.serial, "lineage": self.state.lineage}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Nothing to take back."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """A check leaves nothing behind."""
        return {}


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "nothing"
