"""What an audit found. ``codec`` turns it into JSON."""

from dataclasses import dataclass
from enum import StrEnum

from migrator.inventory.model import Place


class Standing(StrEnum):
    """What the files show of a surface."""

    IMPLEMENTED = "implemented"  # something that runs uses it
    DECLARED = "declared"  # a module that nobody instantiates, an example, a sentence
    ABSENT = "absent"  # nothing at all


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Evidence:
    """One place that shows a surface. ``proves``: something that runs; ``said``: words of a document and no more."""

    place: Place
    what: str
    proves: bool
    said: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceReport:
    """One surface, what it is and is not, and what the files show of it. ``stacks`` are those whose state it holds."""

    surface: str
    title: str
    owner: str
    is_: str
    is_not: str
    standing: Standing
    evidence: tuple[Evidence, ...]
    stacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Contradiction:
    """A place that says what other places refute. ``code`` is stable; ``against`` are the places that refute it."""

    place: Place
    code: str
    surface: str
    owner: str
    message: str
    against: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The whole answer for one repository at one revision."""

    revision: str | None
    surfaces: tuple[SurfaceReport, ...]
    contradictions: tuple[Contradiction, ...]
