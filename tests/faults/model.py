"""What the fault matrix is made of: steps, faults, and how a command must end at each step that a fault strikes.

A fault states its expectation for every step at which it can occur, by command and for both durations. A step is named
``stage/METHOD resource`` (``checked/GET state``), with a number where a stage has several (``carry/GET state 2``); patterns are
those of file names, and the first that fits a step holds.
Invariant: a step without an expectation, and an expectation without a step, are errors of the table (``matrix``).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.faults.bench import Bench

COMMANDS = ("migrate", "rollback")
ONCE, LASTING = "once", "for good"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a command that no fault struck: the ``number``-th (from 0) to its side, ``gitlab`` or ``store``.

    ``stage``: ``look`` before the first record that commits the run to anything, then the stage of the engine, and ``end``
    when the outcome is recorded. ``stale``: an earlier answer to it exists. ``looked_at``: the stand-in's modes that looked.
    """

    command: str
    side: str
    number: int
    stage: str
    request: str
    path: str
    status: int
    stale: bool = False
    looked_at: frozenset[str] = frozenset()
    name: str = ""


class OfTheTrace:
    """A strike at steps of the trace."""

    def find_steps(self, bench: "Bench", base: str, trace: list[Step]) -> list[Step]:
        return [step for step in trace if self.fits(step)]

    def fits(self, step: Step) -> bool:
        """Whether the fault can occur at this step."""
        raise NotImplementedError


def name_steps(steps: list[Step]) -> list[Step]:
    """The steps with their names."""
    kinds = [(step.side, step.stage, step.request) for step in steps]
    seen: Counter[tuple[str, str, str]] = Counter()
    named = []
    for step, kind in zip(steps, kinds, strict=True):
        seen[kind] += 1
        number = f" {seen[kind]}" if kinds.count(kind) > 1 else ""
        named.append(replace(step, name=f"{step.stage}/{step.request}{number}"))
    return named


@dataclass(frozen=True, slots=True)
class Ends:
    """How a command must end: its exit code (0: it completes), and what the hint says to type next."""

    code: int
    then: str = ""


COMPLETES = Ends(0)
AGAIN = "again"
# What is typed next unless a row says otherwise, by command and exit code.
_THEN = {
    ("migrate", 3): "migrator rollback",
    ("migrate", 4): "migrator migrate",
    ("migrate", 5): "migrator migrate",
    ("migrate", 6): AGAIN,
    ("migrate", 130): "migrator migrate",
    ("rollback", 4): "migrator rollback",
    ("rollback", 5): "migrator rollback",
    ("rollback", 6): AGAIN,
    ("rollback", 130): "migrator rollback",
}

Expected = Mapping[str, int | Ends]


class Strike(Protocol):
    """Arms a fault on a bench, so that it strikes at one step of a trace."""

    def find_steps(self, bench: "Bench", base: str, trace: list[Step]) -> list[Step]:
        """Every step at which the fault can occur: requests and writes of the trace, or what else it strikes."""

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        """Arm it; return what tells how often it struck."""


def forward_again(bench: "Bench", command: str) -> None:
    """The fault is gone and has left nothing behind: the same command goes on, and so does the way back."""
    bench.check_told()
    bench.check_ways_forward(command)


def forward_after_somebody(bench: "Bench", command: str) -> None:
    """As above; but what somebody else did, or what a store hid, no status can know offline."""
    bench.check_ways_forward(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the matrix, for both commands and up to two durations.

    ``once`` and ``lasting``: by command, how it must end by pattern of steps; a missing command: the fault cannot occur there.
    ``setting``: the bench that it needs. ``base``: where migrate begins. ``forward``: what must be possible when the fault is gone.
    """

    name: str
    title: str
    strike: Strike
    once: Mapping[str, Expected] = field(default_factory=dict)
    lasting: Mapping[str, Expected] = field(default_factory=dict)
    setting: str = "plain"
    base: str = "migrate"
    forward: Callable[["Bench", str], None] = forward_again
    note: str = ""

    def base_of(self, command: str) -> str:
        """Where a command begins."""
        return self.base if command == "migrate" else command

    def rows(self) -> list["Row"]:
        return [
            Row(fault=self, command=command, duration=duration, expected=expected[command])
            for duration, expected in ((ONCE, self.once), (LASTING, self.lasting))
            for command in COMMANDS
            if command in expected
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault on one command for one duration: as many cells as there are steps that it can strike."""

    fault: Fault
    command: str
    duration: str
    expected: Expected

    @property
    def name(self) -> str:
        return f"{self.fault.name}-{self.duration.replace(' ', '-')}-{self.command}"

    def pattern_of(self, step: Step) -> str | None:
        """The pattern that says what is expected at this step."""
        return next((pattern for pattern in self.expected if fnmatchcase(step.name, pattern)), None)

    def ends(self, pattern: str) -> Ends:
        found = self.expected[pattern]
        if isinstance(found, Ends):
            return found
        return Ends(found, _THEN[self.command, found] if found else "")


def name_resource(path: str) -> str:
    """What a request is about, in one word: ``state`` and ``lock`` are GitLab's, ``object`` and ``tflock`` the store's."""
    if path.endswith("/graphql"):
        return "graphql"
    if path.count("/") == 1:
        return "list"
    if "/runs/" in path:
        return "mirror"
    if path.endswith(".tflock"):
        return "tflock"
    if path.endswith(".tfstate"):
        return "object"
    if path.endswith("/lock"):
        return "lock"
    if "/versions/" in path:
        return "version"
    if "protection_rules" in path:
        return "rule"
    return "state" if "state" in path.rsplit("/projects/", maxsplit=1)[-1] else "project"
