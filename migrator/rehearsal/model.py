"""What a rehearsal gives: one ``Proof`` for each step of the story, and the ``Transcript`` of each command that it ran.

PURE. Nothing here runs or prints anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FORMAT = "migrator.rehearsal/1"


class Outcome(StrEnum):
    """What became of a proof."""

    MADE = "made"
    LEFT_OUT = "left-out"  # not tried, and the detail says why
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One step of the story: what it showed, or why it could not be shown."""

    name: str
    outcome: Outcome
    seconds: float
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One command: ``typed`` as an operator types it, ``output`` what it printed on both streams, without colours."""

    typed: str
    exit_code: int
    output: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The whole story. ``tofu`` is the program that took part, ``kept`` the directory that was left behind."""

    repository: str
    states: int
    states_from: str
    tofu: str | None
    proofs: tuple[Proof, ...]
    seconds: float
    kept: str | None = None

    def with_outcome(self, outcome: Outcome) -> tuple[Proof, ...]:
        """Return the proofs that came out so."""
        return tuple(proof for proof in self.proofs if proof.outcome is outcome)

    @property
    def exit_code(self) -> int:
        """0 when everything that was tried was shown, 3 when anything failed."""
        return 3 if self.with_outcome(Outcome.FAILED) else 0


def build_document(rehearsal: Rehearsal) -> Mapping[str, object]:
    """Return the document ``migrator.rehearsal/1``."""
    return {
        "format": FORMAT,
        "repository": rehearsal.repository,
        "states": rehearsal.states,
        "states_from": rehearsal.states_from,
        "tofu": rehearsal.tofu,
        "ok": rehearsal.exit_code == 0,
        "seconds": round(rehearsal.seconds, 3),
        "kept": rehearsal.kept,
        "proofs": [
            {
                "name": proof.name,
                "outcome": proof.outcome.value,
                "seconds": round(proof.seconds, 3),
                "detail": proof.detail,
                "hint": proof.hint,
            }
            for proof in rehearsal.proofs
        ],
    }
