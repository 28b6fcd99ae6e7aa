"""What an operator is told when a command stops, and what the journal keeps of it.

Invariant: whatever stopped a command, its ``hint`` names a command to type next.
"""

import re

from migrator.engine.phases import Phase
from migrator.engine.run import Run
from migrator.engine.status import RunStatus
from migrator.errors import InterruptedRunError, JournalError, JournalWriteError, MigratorError, StoppedError
from migrator.journal.record import RecordKind

_AGAIN = " again"
_OVER = (Phase.MIGRATED, Phase.ROLLED_BACK, Phase.FINALIZED, "refused")
_WAY_ON = re.compile(r"migrator (migrate|rollback|plan|verify|status|finalize)")


def complete_stop(error: MigratorError, status: RunStatus) -> None:
    """Complete an error: what stops part-way says how far the run is, and every hint ends in a command."""
    error.where = error.where or f"run {status.run}"
    part_way = error.exit_code in (StoppedError.exit_code, InterruptedRunError.exit_code)
    if part_way:
        reached = f"phase {status.phase}, {status.files_cut_over} of {status.files_total} files cut over"
        reached += "; the journal is intact"
        if isinstance(error, InterruptedRunError):
            error.now, error.hint = reached, None
        error.now = error.now or reached
    # What follows a run that is over says nothing about the command that stopped beside it.
    again = _AGAIN in (error.hint or "") and (not part_way or status.phase in _OVER)
    if again or _WAY_ON.search(error.hint or ""):
        return
    following = status.next_command if part_way else "run the command again"
    error.hint = f"{error.hint}; then: {following}" if error.hint else following


def record_stop(run: Run, error: MigratorError) -> None:
    """Keep in the journal why this attempt ended, unless the journal itself is what failed or the run is over."""
    if isinstance(error, JournalError) or run.view.outcome is not None:
        return
    try:
        run.record(RecordKind.STOPPED, {"exit_code": error.exit_code, "message": error.message})
    except JournalWriteError:
        # No command acts on it, and what stopped the run is more to the point than that it could not be noted.
        pass
