"""The crash matrix: a command is ended at every effect, at every moment of it, and each world that is left is looked at.

For each kill: ``status``, offline, tells the truth; the same command again ends where the undisturbed run ends, byte for
byte; and from the same point the way back (or, on the way back, the way forward) ends as it must. The watcher looks after
every effect of all of these. Kills that leave the same world, byte for byte, are the same point: what follows from it is
tried once and counts for each of them; ``share=False`` tries it for each kill instead.

No cell is skipped in silence: ``Row.missing`` says which were not run, and a kill that does not end at the effect that the
undisturbed run had there is a violation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.effects import Effects, Kill, Killed, Moment
from tests.crash.lab import CrashLab, Kept, Truth
from tests.crash.status import check_status
from tests.support.s3_servers import S3Server

MIGRATE, ROLLBACK = ("migrate", "--yes"), ("rollback", "--yes")


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A command that is killed, and what it starts from: ``build`` makes the world as it was before the migration.

    From a point, ``again`` goes on (None: the same command) and ``turn`` goes the opposite way; both return a word for what
    came of it. ``moments``: variants of a direction that is killed at every moment are killed at some.
    """

    name: str
    command: Callable[[CrashLab], Sequence[str]]
    build: Callable[[Path, S3Server], CrashLab]
    prepare: Callable[[CrashLab], None]
    turn: Callable[["Scene"], str]
    again: Callable[["Scene"], str] | None = None
    moments: tuple[Moment, ...] = tuple(Moment)
    code: int = 0


@dataclass
class Scene:
    """One lab, brought back to the beginning of a direction again and again."""

    direction: Direction
    lab: CrashLab
    planned: Truth = field(init=False)
    start: Kept = field(init=False)
    begun: Truth = field(init=False)
    end: Truth = field(init=False)
    end_phase: str | None = field(init=False)
    names: list[str] = field(init=False)
    writes: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.planned = self.lab.see()
        self.direction.prepare(self.lab)
        self.start = self.lab.keep()
        self.begun = self.lab.see()
        effects = self.run(*self.command, code=self.direction.code)
        self.names, self.writes = effects.names, effects.writes
        self.end, self.end_phase = self.lab.see(), self.lab.phase()

    @property
    def command(self) -> Sequence[str]:
        return self.direction.command(self.lab)

    def kills(self) -> Iterator[Kill]:
        """Every cell of this direction."""
        for effect in range(1, len(self.names) + 1):
            for moment in self.direction.moments:
                if moment is not Moment.TORN or effect in self.writes:
                    yield Kill(effect, moment)

    def run(self, *command: str, code: int | None = 0) -> Effects:
        """Run a command to its end, watched after every effect."""
        effects = Effects(self.lab)
        with effects.installed():
            done = self.lab.run(*command)
        assert code is None or done.code == code, f"{' '.join(command)} ended with {done.code}: {done.err}"
        return effects

    def kill(self, kill: Kill) -> Kept:
        """Run the command, end it there, and return the world that is left."""
        self.lab.bring_back(self.start)
        effects = Effects(self.lab, kill=kill)
        with effects.installed():
            try:
                self.lab.run(*self.command)
                effects.end_of_command()
            except Killed:
                pass
        assert effects.dead, "the run went on to its end"
        assert effects.names[: kill.effect] == self.names[: kill.effect], "it took another way than the undisturbed run"
        return self.lab.keep()

    def go_on(self, point: Kept) -> str:
        """The same command again, from a point."""
        self.lab.bring_back(point)
        check_status(self.lab, planned=self.planned, begun=self.begun)
        if self.direction.again:
            return self.direction.again(self)
        self.run(*self.command, code=self.direction.code)
        self.check_end("again", self.end, phase=self.end_phase)
        return "resumed"

    def turn(self, point: Kept) -> str:
        """The other way, from a point."""
        self.lab.bring_back(point)
        return self.direction.turn(self)

    def check_end(self, what: str, truth: Truth, *, phase: str | None) -> None:
        """Everything is as it was in the undisturbed run, byte for byte, and ``verify`` says so too."""
        found = self.lab.see()
        assert found == truth, f"{what}: the end is another one: {describe_difference(found, truth)}"
        assert self.lab.phase() == phase, f"{what}: the run is {self.lab.phase()}, not {phase}"
        if phase is not None:
            self.run("verify", code=6 if self.lab.target_is_dead else 0)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One kill, and what came of it: words for the ways that ended well, and every violation."""

    effect: int
    name: str
    moment: Moment
    point: str
    again: str = ""
    turned: str = ""
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of one direction, or of a part of it."""

    direction: str
    effects: int
    expected: tuple[Kill, ...]
    cells: tuple[Cell, ...]

    @property
    def missing(self) -> tuple[Kill, ...]:
        """Cells that should have been run and were not."""
        done = {
            Kill(cell.effect, cell.moment) for cell in self.cells if (cell.again and cell.turned) or cell.violations
        }
        return tuple(kill for kill in self.expected if kill not in done)

    @property
    def violations(self) -> tuple[str, ...]:
        return tuple(violation for cell in self.cells for violation in cell.violations)

    @property
    def points(self) -> int:
        return len({cell.point for cell in self.cells})


def join_rows(rows: Sequence[Row]) -> list[Row]:
    """The parts of each direction as one row, in the order in which they come."""
    joined: dict[str, Row] = {}
    for row in rows:
        before = joined.get(row.direction)
        if before and before.effects != row.effects:
            raise AssertionError(f"{row.direction} had {before.effects} effects, and now it has {row.effects}")
        joined[row.direction] = Row(
            direction=row.direction,
            effects=row.effects,
            expected=(before.expected if before else ()) + row.expected,
            cells=(before.cells if before else ()) + row.cells,
        )
    return list(joined.values())


def span(effects: int, part: tuple[int, int]) -> range:
    """The numbers of the effects in the n-th of m parts."""
    number, parts = part
    size = -(-effects // parts)
    return range((number - 1) * size + 1, min(number * size, effects) + 1)


def run_matrix(scene: Scene, *, part: tuple[int, int] = (1, 1), share: bool = True) -> Row:
    """Run every cell of a direction, or of the ``part`` (n-th of m) of its effects."""
    effects = span(len(scene.names), part)
    expected = tuple(kill for kill in scene.kills() if kill.effect in effects)
    known = Known()
    cells = [_run_cell(scene, kill, known if share else Known()) for kill in expected]
    return Row(direction=scene.direction.name, effects=len(scene.names), expected=expected, cells=tuple(cells))


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What came of a point: words for the ways that ended well, and every violation."""

    point: str
    again: str = ""
    turned: str = ""
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What need not be tried twice: an instant of the run, and a world."""

    instants: dict[Kill, Followed] = field(default_factory=dict)
    points: dict[str, Followed] = field(default_factory=dict)


def _run_cell(scene: Scene, kill: Kill, known: Known) -> Cell:
    name = scene.names[kill.effect - 1]
    instant = kill
    if kill.moment is Moment.SEEN and kill.effect < len(scene.names):
        # Nothing lies between a reply that is seen and the next effect: it is one instant, at which one run ends.
        instant = Kill(kill.effect + 1, Moment.BEFORE)
    if instant not in known.instants:
        known.instants[instant] = _try(scene, kill, name, known)
    followed = known.instants[instant]
    return Cell(
        effect=kill.effect,
        name=name,
        moment=kill.moment,
        point=followed.point,
        again=followed.again,
        turned=followed.turned,
        violations=followed.violations,
    )


def _try(scene: Scene, kill: Kill, name: str, known: Known) -> Followed:
    """End the run there, and go both ways from the point that is left."""
    story = f"{scene.direction.name}, killed {kill.moment} effect {kill.effect} of {len(scene.names)}, {name}"
    try:
        point = scene.kill(kill)
    except AssertionError as error:
        return Followed(point="", violations=(f"{story}: {error}",))
    digest = point.digest
    if digest not in known.points:
        words: dict[str, str] = {}
        violations: list[str] = []
        for way, follow in (("again", scene.go_on), ("turned", scene.turn)):
            try:
                words[way] = follow(point)
            except AssertionError as error:
                violations.append(f"{story}; {way}: {error}")
        known.points[digest] = Followed(point=digest, violations=tuple(violations), **words)
    return known.points[digest]


def describe_difference(found: Truth, expected: Truth) -> str:
    """Which parts differ, and in which entries."""
    parts = []
    for name in Truth.__slots__ if hasattr(Truth, "__slots__") else Truth.__annotations__:
        one, other = getattr(found, name), getattr(expected, name)
        if one != other:
            parts.append(f"{name}: {_entries(one, other)}")
    return "; ".join(parts)


def _entries(one: object, other: object) -> str:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return ", ".join(sorted(str(key) for key in one.keys() | other.keys() if one.get(key) != other.get(key)))
    return f"{one} instead of {other}"
