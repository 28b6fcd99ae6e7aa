"""Runs the cells of the matrix: one fault, at one step, once or for good; and looks at everything that must hold then."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.faults import gitlab, local, store
from tests.faults.bench import SETTINGS, Bench, Outcome
from tests.faults.model import LASTING, Fault, Row, Step
from tests.support.world import SECRET, TOKEN

FAULTS: tuple[Fault, ...] = (*gitlab.FAULTS, *store.FAULTS, *local.FAULTS)


@dataclass(frozen=True, slots=True)
class Cell:
    """One step of a row that was struck, and what was wrong with how it went; "" for nothing."""

    row: Row
    step: Step
    pattern: str
    wrong: str


@dataclass
class Benches:
    """Every bench, made when it is first needed, and what each command requests on it."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _benches: dict[str, Bench] = field(default_factory=dict)
    _traces: dict[tuple[str, str], list[Step]] = field(default_factory=dict)

    def get(self, setting: str) -> Bench:
        if setting not in self._benches:
            self._benches[setting] = self._stack.enter_context(Bench(SETTINGS[setting]))
        return self._benches[setting]

    def trace(self, setting: str, base: str, command: str) -> list[Step]:
        if (setting, base) not in self._traces:
            self._traces[setting, base] = self.get(setting).trace(command, base)
        return self._traces[setting, base]

    def steps(self, row: Row) -> list[Step]:
        """Every step that the fault of this row can strike."""
        return self.find_steps(row.fault, row.command)

    def find_steps(self, fault: Fault, command: str) -> list[Step]:
        """Every step of a command that this fault can strike."""
        base = fault.base_of(command)
        return fault.strike.find_steps(self.get(fault.setting), base, self.trace(fault.setting, base, command))

    def close(self) -> None:
        self._stack.close()


def find_gaps(benches: Benches, fault: Fault) -> Iterator[str]:
    """What is wrong with the table itself: a step without expectation, an expectation without step."""
    rows = fault.rows()
    for row in rows:
        steps = benches.steps(row)
        patterns = [row.pattern_of(step) for step in steps]
        unknown = [step.name for step, pattern in zip(steps, patterns, strict=True) if pattern is None]
        yield from (f"{row.name}: nothing is expected at {name}" for name in unknown)
        yield from (f"{row.name}: no step is {pattern}" for pattern in row.expected if pattern not in patterns)
    for command in ("migrate", "rollback"):
        if command not in {row.command for row in rows}:
            steps = benches.find_steps(fault, command)
            yield from (f"{fault.name}: no row for {step.name} of {command}" for step in steps)


def run_row(benches: Benches, row: Row) -> Iterator[Cell]:
    """Run every cell of a row."""
    bench = benches.get(row.fault.setting)
    trace = benches.trace(row.fault.setting, row.fault.base_of(row.command), row.command)
    for step in benches.steps(row):
        pattern = row.pattern_of(step) or ""
        try:
            _run_cell(bench, row, trace, step, pattern)
            wrong = ""
        except AssertionError as error:
            wrong = str(error) or repr(error)
        except Exception as error:  # noqa: BLE001 - a command may end with an error of ours, and with no other
            wrong = f"{type(error).__name__}: {error}"
        yield Cell(row=row, step=step, pattern=pattern, wrong=wrong)


def _run_cell(bench: Bench, row: Row, trace: list[Step], step: Step, pattern: str) -> None:
    bench.restore(bench.bases[row.fault.base_of(row.command)])
    struck = row.fault.strike.arm(bench, trace, step, lasting=row.duration == LASTING)
    outcome = bench.run(row.command)
    assert struck() > 0, "the fault did not strike"
    bench.heal()
    assert not outcome.violations, "; ".join(outcome.violations)
    ends = row.ends(pattern)
    assert outcome.code == ends.code, f"exit {outcome.code}, not {ends.code}: {_describe(outcome)}"
    if outcome.error is None:
        if ends.then:
            assert bench.plain.failed_checks() != {}, "verify does not notice"
            bench.put_object_back()
        bench.check_end(bench.migrated if row.command == "migrate" else bench.carried_back)
        return
    _check_told(outcome, ends.then)
    row.fault.forward(bench, row.command)


def _check_told(outcome: Outcome, then: str) -> None:
    error = outcome.error
    assert error is not None
    assert error.message
    assert error.where, _describe(outcome)
    assert then in (error.hint or ""), f"the hint does not say {then!r}: {_describe(outcome)}"
    text = _describe(outcome)
    assert SECRET not in text
    assert TOKEN not in text


def _describe(outcome: Outcome) -> str:
    error = outcome.error
    if error is None:
        return "it completed"
    return f"{type(error).__name__}: {error.message}; where {error.where}; now {error.now}; next {error.hint}"
