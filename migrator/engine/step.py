"""The contract of a step: one external effect at most, known before it is tried, provable after, and reversible.

The runner calls, in this order: ``build_intent`` (journalled, durable) -> ``apply`` -> evidence (journalled, durable).
A run that dies in between leaves an intent without an outcome; on resume ``probe`` settles it by looking at the world.
``undo`` works from the intent alone where there is no evidence, touches only what it can prove to be ours, and doing it
twice is the same as doing it once: an undo in doubt is simply done again.
"""

from dataclasses import dataclass
from typing import Protocol

from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.journal.fold import RunView
from migrator.journal.record import Body


@dataclass(frozen=True, slots=True)
class NotDone:
    """The effect did not take place."""


@dataclass(frozen=True, slots=True)
class Done:
    """The effect took place; this is what ``apply`` would have returned."""

    evidence: Body


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something stands there that is not ours; ``found`` names it for a person."""

    found: str


Probe = NotDone | Done | Foreign


class Step(Protocol):
    """One step of one unit (a state name or a file path)."""

    @property
    def kind(self) -> StepKind:
        """Which step it is."""

    @property
    def unit(self) -> str:
        """The state name, or the path of the file."""

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Return everything that ``probe`` and ``undo`` need. No effect but local blobs."""

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Say whether the effect of ``intent`` took place. Writes nothing."""

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Have the effect and return the evidence.

        Raises: RefusedError, CheckFailedError, BackendError.
        """

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Return what undoing needs beyond intent and evidence (the ID of a lock that it will take, say)."""

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Take the effect back where it is provably ours, and return the evidence.

        Raises: RefusedError with a hint when what stands there is not what we left.
        """
