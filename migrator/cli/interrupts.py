"""SIGINT and SIGTERM while a run is worked on."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from migrator.engine.run import Run
from migrator.errors import InterruptedRunError

_INTERRUPTED_TWICE = (
    b"error: interrupted again: this command ended at once\n"
    b"  now:   the journal is intact; what was under way may still take effect, and this run keeps its locks\n"
    b"  next:  migrator status\n"
)


@contextmanager
def end_on_signals(run: Run) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run between two steps; a second one ends the process at once.

    As if it had been killed: what is under way in other threads may still have its effect, so nothing is tidied up that
    would say otherwise. No lock is given back, no outcome is recorded, and the next command settles it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if run.interrupt.is_set():
            os.write(sys.stderr.fileno(), _INTERRUPTED_TWICE)
            os._exit(InterruptedRunError.exit_code)
        run.interrupt.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
