"""What a run does and did: progress while it goes, then status and checks."""

from collections import Counter
from collections.abc import Sequence

from rich.console import RenderableType
from rich.markup import escape

from migrator.engine.events import Event
from migrator.engine.left_files import BroughtAlong
from migrator.engine.phases import Phase
from migrator.engine.status import RunStatus, StateStatus
from migrator.engine.taking_back import Carried
from migrator.engine.verify import Check
from migrator.report.output import Output
from migrator.report.tables import build_count, build_heading, build_table
from migrator.report.visible import make_line

_STAGES = {
    "captured": "lock both sides and capture",
    "checked": "publish and read back",
    "proven": "prove by plan",
    "cut-over": "cut files over",
    "migrated": "seal the source, unlock the target",
    "lock": "lock the target again",
    "carry": "carry back what is newer",
    "files": "restore files",
    "release": "remove our objects and give back locks",
}


_MOST_DOUBTS = 12  # a stage begins with all of its intents: after a kill every state of it may be in doubt


class Progress:
    """Prints one line for each stage, and with -v one for each step."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if event.name == "stage":
            self._output.say(f"  {_STAGES.get(event.step, escape(event.step))}")
        elif event.name == "note":
            self._output.say(f"  {escape(event.detail)}")
        elif event.name in ("step", "undo") and self._output.verbosity:
            verb = "undone" if event.name == "undo" else "done"
            detail = f" ({event.detail})" if event.detail else ""
            self._output.say(f"    [dim]{verb} {escape(event.step)} {escape(event.unit)}{escape(detail)}[/dim]")


def build_status_report(status: RunStatus) -> list[RenderableType]:
    """Return the parts of a status report."""
    rows = (
        (
            state.name,
            state.authority,
            state.source_lock,
            state.target_lock,
            _serial(state),
            f"record {state.record}: {state.step}" if state.step else "nothing yet",
        )
        for state in status.states
    )
    progress = f"{status.files_cut_over} of {build_count(status.files_total, 'file')} cut over"
    parts: list[RenderableType] = [
        f"[bold]Run {escape(status.run)}[/bold]  phase [bold]{status.phase}[/bold], {progress}",
        build_heading("States", len(status.states)),
        build_table(("state", "authority", "source lock", "target lock", "serial", "journal"), rows),
    ]
    if status.phase in (Phase.MIGRATED, Phase.FINALIZED) and status.states:
        parts += ["", *_describe_seals(status.states)]
    if status.proof != "required":
        parts.append(f"\n[yellow]proof by plan: {status.proof}[/yellow] (weaker than required; recorded in the plan)")
    if status.target_left:
        parts.append(
            "\n[yellow]the target is not closed:[/yellow] it was given up while it did not answer; "
            "keep its clients away until migrator rollback has closed it"
        )
    if status.mirror:
        parts.append(f"\nmirrored to {escape(make_line(status.mirror))}")
    if status.overrides:
        parts.append(f"\n[yellow]acknowledged:[/yellow] {escape(', '.join(status.overrides))}")
    if status.in_doubt:
        parts.append(build_heading("In doubt; the next command settles them by looking", len(status.in_doubt)))
        parts += [f"  {escape(make_line(one))}" for one in status.in_doubt[:_MOST_DOUBTS]]
        if more := len(status.in_doubt) - _MOST_DOUBTS:
            parts += [f"  and {more} more (--json names all)"] if more > 0 else []
    if status.stopped:
        parts.append(f"\nstopped: {escape(make_line(status.stopped))}")
    return [*parts, f"\nnext: {escape(status.next_command)}"]


def _describe_seals(states: Sequence[StateStatus]) -> list[str]:
    """Return one line for each kind of seal: what it is, why it is no more, of how many states."""
    kinds = Counter((state.seal, state.seal_reason) for state in states)
    return [
        escape(make_line(f"seal of {build_count(number, 'state')}: {seal}" + (f" ({reason})" if reason else "")))
        for (seal, reason), number in kinds.items()
    ]


def _serial(state: StateStatus) -> str:
    moved = "-" if state.serial is None else str(state.serial)
    return moved if state.carried_serial is None else f"{moved} -> {state.carried_serial}"


def build_checks_report(checks: Sequence[Check], *, everything: bool) -> list[RenderableType]:
    """Return the parts of a verification report: what fails, or with ``everything`` every check."""
    failed = [check for check in checks if not check.ok]
    shown = checks if everything else [check for check in checks if check.name != "file" or not check.ok]
    rows = (("ok" if check.ok else "FAILS", check.subject, check.name, check.found) for check in shown)
    parts: list[RenderableType] = [build_table(("", "subject", "check", "found"), rows)]
    if failed:
        return [*parts, f"\n{len(failed)} of {build_count(len(checks), 'check')} fail"]
    return [*parts, f"\nall {build_count(len(checks), 'check')} hold"]


def build_files_report(files: BroughtAlong) -> list[RenderableType]:
    """Return what was done to files of this work tree because the run had changed another one, and what was not."""
    lines = [f"  this work tree was not the one that the run changed; brought along: {', '.join(files.changed)}"]
    lines = lines if files.changed else []
    if files.left:
        lines.append(
            f"  left as they are, for somebody edited them: {', '.join(files.left)}; see that they name the right backend "
            "(git diff, git log)"
        )
    return [escape(make_line(line)) for line in lines]


def build_carried_report(carried: Sequence[Carried]) -> list[RenderableType]:
    """Return what was carried back."""
    return [
        f"  carried back: {escape(one.name)}, serial "
        f"{'none' if one.serial_before is None else one.serial_before} -> {one.serial_after}"
        for one in carried
    ]
