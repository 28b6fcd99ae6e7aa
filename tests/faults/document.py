"""docs/faults.md from the tables, and the number of steps that each row strikes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from migrator.engine.phases import FORWARD
from tests.faults import gitlab, local, store
from tests.faults.matrix import Benches
from tests.faults.model import AGAIN, LASTING, ONCE, Ends, Fault, Row


def _of(setting: str, faults: tuple[Fault, ...], *, others: bool = False) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if (fault.setting == setting) is not others)


SECTIONS = (
    ("GitLab", _of("protected", gitlab.FAULTS, others=True)),
    (
        "GitLab, where it has protection rules: the requests that make, read and remove them",
        _of("protected", gitlab.FAULTS),
    ),
    ("The store", _of("mirrored", store.FAULTS, others=True)),
    ("The store, where runs are mirrored: the requests of the mirror", _of("mirrored", store.FAULTS)),
    ("This machine", local.FAULTS),
)
SAME = "the same command"
TABLE = ("| fault | how long | where | steps | what happens | exit | type |", "|---|---|---|---|---|---|---|")
HAPPENS = {
    0: "completes",
    2: "does not begin; nothing was touched",
    3: "a check says no",
    4: "refused",
    5: "stops part-way",
    6: "stops; this attempt changed nothing",
    130: "stops after the step",
}
PLACES = {
    "look/*": "while it looks",
    "end/*": "after the outcome is recorded",
    "* file*": "writes of files of the repository",
    "look/* journal*": "the first record of the journal",
    "look/fsync directory 7": "the entry of the journal",
    "carry/* blob*": "carry: the blob",
    "record ?": "records 1 to 9",
    "record 1?": "records 10 to 19",
    "record [12]": "records 1 and 2",
    "carry/GET state [24]": "carry: GET state 2 and 4",
}
HEAD = """<!-- Written by scripts/fault-matrix --write from the tables in tests/faults. Do not edit. -->

# What goes wrong, and what becomes of it

Each row is a fault. The suite brings it about at every step where it can occur, one step at a time, in `migrate` and in a
`rollback` that carries a newer state back: {cells} times in all, through real sockets, the stand-in's own fault modes and real
refusals of the kernel. Every time it checks that

- the command ends as this table says, and its error names what to type next (an exit code of 0: the end is byte for byte that of
  a run without the fault);
- `status` tells the truth, offline, where it can know it;
- the watcher of the invariant saw nothing wrong, after each request and each write of the command;
- with the fault gone, the same command completes with the same end, and from the same point so does `rollback`.

How a process that is killed goes on is another matrix: [crash-matrix.md](crash-matrix.md). Exit codes: [exit-codes.md](exit-codes.md).

How to read it. *Once* strikes one step and is gone; *for good* lasts from that step on until somebody removes it. *Where* names
stage and request: `state`, `lock`, `rule`, `graphql` and `project` are GitLab's, `object` and `tflock` the store's, `mirror` and
`list` the mirrored run's; a number counts equal requests of a stage. *While it looks* is before the run commits itself to
anything. *Steps* counts them, in `migrate` and in `rollback`; *everywhere else* is what the other lines of that command and
duration leave. *Type* is what the error says next.

Stages of `migrate`: {forward}. Of `rollback`: lock, carry, files, release.
"""


@dataclass
class Line:
    """One line of the table: steps with the same end, in the commands that have them."""

    ends: Ends
    then: str
    where: list[str] = field(default_factory=list)
    durations: list[str] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)


def build_document(benches: Benches) -> str:
    cells = sum(len(benches.steps(row)) for _, faults in SECTIONS for fault in faults for row in fault.rows())
    parts = [HEAD.format(cells=cells, forward=", ".join(phase for phase, _ in FORWARD))]
    for title, faults in SECTIONS:
        parts += [f"## {title}", "", *TABLE]
        for fault in faults:
            parts += format_fault(fault, build_lines(benches, fault))
        notes = [f"- {fault.title}: {fault.note}." for fault in faults if fault.note]
        parts += ["", *notes, ""] if notes else [""]
    return "\n".join(parts).rstrip("\n") + "\n"


def build_lines(benches: Benches, fault: Fault) -> list[Line]:
    """The lines of one fault: what the durations and the commands have in common stands once."""
    by_duration = {ONCE: build_lines_of(benches, fault, ONCE), LASTING: build_lines_of(benches, fault, LASTING)}
    if by_duration[ONCE] == by_duration[LASTING]:
        return [replace(line, durations=[ONCE, LASTING]) for line in by_duration[ONCE]]
    return [replace(line, durations=[duration]) for duration, lines in by_duration.items() for line in lines]


def build_lines_of(benches: Benches, fault: Fault, duration: str) -> list[Line]:
    lines: dict[tuple[bool, int, str], Line] = {}
    for row in fault.rows():
        if row.duration != duration:
            continue
        for pattern, steps in count_steps(benches, row).items():
            ends = row.ends(pattern)
            then = name_command(row.command, ends)
            line = lines.setdefault((pattern == "*", ends.code, then), Line(ends=ends, then=then))
            where = describe(pattern, alone=len(row.expected) == 1)
            line.where += [where] if where not in line.where else []
            line.steps[row.command] += steps
    return list(lines.values())


def count_steps(benches: Benches, row: Row) -> Mapping[str, int]:
    """How many steps each pattern of a row stands for, in the order of the table."""
    patterns = [row.pattern_of(step) for step in benches.steps(row)]
    return {pattern: patterns.count(pattern) for pattern in row.expected}


def name_command(command: str, ends: Ends) -> str:
    """What to type: the same command is called so."""
    return SAME if ends.then in {AGAIN, f"migrator {command}"} else ends.then


def describe(pattern: str, *, alone: bool) -> str:
    if pattern == "*":
        return "everywhere" if alone else "everywhere else"
    stage, _, request = pattern.partition("/")
    shown = f"{stage}: {request}" if request else pattern
    return PLACES.get(pattern, f"{stage}: everything" if request == "*" else shown)


def format_fault(fault: Fault, lines: list[Line]) -> Iterator[str]:
    if not lines:
        yield f"| {fault.title} | | nowhere | 0 | | | |"
    title = fault.title
    for line in lines:
        yield f"| {title} | {' or '.join(line.durations)} | {format_line(line)} |"
        title = ""


def format_line(line: Line) -> str:
    steps = f"{line.steps['migrate']} + {line.steps['rollback']}"
    happens = HAPPENS[line.ends.code] + ("; `verify` says no" if line.ends.code == 0 and line.then else "")
    then = f"`{line.then}`" if line.then.startswith("migrator") else line.then
    where = [one for one in line.where if one != "everywhere" or len(line.where) == 1]
    return f"{'; '.join(where)} | {steps} | {happens} | {line.ends.code} | {then}"
