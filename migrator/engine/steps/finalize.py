"""finalize: give up the way back. The only step without undo, and without an effect outside: GitLab keeps its seal.

Its whole effect is its record: from there on ``rollback`` is refused. One in doubt is simply recorded again.
"""

from dataclasses import dataclass
from typing import NoReturn

from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import NotDone, Probe
from migrator.errors import RefusedError
from migrator.journal.fold import RunView
from migrator.journal.record import Body


@dataclass(frozen=True, slots=True)
class Finalize:
    """Make one run final."""

    run_id: str
    bucket: str
    kind = StepKind.FINALIZE

    @property
    def unit(self) -> str:
        """The run's id."""
        return self.run_id

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the bucket that the operator typed."""
        return {"bucket": self.bucket}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Nothing outside could tell."""
        return NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Leave both backends as they are."""
        return {}

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """There is no undo."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> NoReturn:
        """Refuse, with the reason.

        Raises: RefusedError.
        """
        raise build_final_refusal(self.run_id)


def build_final_refusal(run_id: str) -> RefusedError:
    """Return the error of a way back that was given up."""
    return RefusedError(
        "this run was finalized: the way back was given up",
        where=run_id,
        now="nothing was touched",
        hint="migrator status",
    )
