"""The command line as a real process, killed by a real SIGKILL at a request, or among its files.

A sample over the whole of each direction: the crash matrix kills at every effect, inside of one process. Here each story
kills the k-th request of all that the command makes, in one of three ways; then status tells the truth, and either way leads to
an end that is, byte for byte, the one of a run that nobody disturbed.
"""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.estate_lab import finish, kill, wait_until
from tests.support.gate import DroppedError, Moment, Trap
from tests.support.s3_servers import S3Server
from tests.support.stages import MIGRATE, ROLLBACK, Ends, Stages, build_stages, check_end, check_status
from tests.support.watched_lab import WatchedLab
from tests.support.watcher import Watcher

# Threads that ask for the same thing at the same time may ask once or several times, so no two runs have as many requests.
JITTER = 3


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A command, the stage that it begins at, and how many stories are told of it."""

    stage: str
    command: tuple[str, ...]
    stories: int


DIRECTIONS = {
    "migrate": Direction(stage="planned", command=MIGRATE, stories=9),
    "rollback": Direction(stage="migrated", command=ROLLBACK, stories=6),
    "carry-back": Direction(stage="moved on", command=ROLLBACK, stories=7),
    "finalize": Direction(stage="migrated", command=("finalize", "--confirm"), stories=2),
}
STORIES = [(name, number) for name, direction in DIRECTIONS.items() for number in range(direction.stories)]


@pytest.fixture(scope="module")
def stages(find_server: Callable[[str], S3Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    made = build_stages(tmp_path_factory.mktemp("kills") / "lab", find_server("minio"))
    yield made
    made.lab.stop()


def kill_at(lab: WatchedLab, command: tuple[str, ...], moment: Moment, number: int) -> None:
    """Run a command that is killed at its request ``number``."""
    child: list[subprocess.Popen[str]] = []
    started = threading.Event()

    def kill() -> None:
        started.wait()
        child[0].kill()
        child[0].wait()
        if moment is Moment.BEFORE:
            lab.gate.shut()  # what else the dead one sent never arrives; else, it does
        raise DroppedError

    lab.gate.lay(Trap(moment, kill, number=number))
    child.append(lab.start_migrator(*command))
    started.set()
    done = finish(child[0])
    assert done.code == -signal.SIGKILL, f"it ended by itself before, with {done.code}:\n{done.text}"
    lab.gate.check()
    lab.gate.clear()


@pytest.mark.parametrize(("name", "story"), STORIES, ids=str)
def test_a_command_that_is_killed_at_a_request(stages: Stages, name: str, story: int) -> None:
    direction, lab = DIRECTIONS[name], stages.lab
    command = (*direction.command, lab.bucket) if name == "finalize" else direction.command
    ends = stages.find_ends(direction.stage, *command)
    last = stages.run(direction.stage, *command).requests - JITTER
    # The first request of ``migrate`` looks for the run of another machine: there is none here by then, and none after a kill.
    number = 2 + story * (last - 2) // (direction.stories - 1)
    moment = tuple(Moment)[story % 3]
    watcher = stages.rewind(direction.stage)
    kill_at(lab, command, moment, number)
    watcher.check("after the kill")
    check_way_on(lab, command, ends, watcher, back=story % 2 == 1)


@pytest.mark.parametrize("back", [False, True], ids=["on", "back"])
@pytest.mark.parametrize(
    ("stage", "command"), [("planned", MIGRATE), ("migrated", ROLLBACK)], ids=["migrate", "rollback"]
)
def test_a_command_that_is_killed_among_its_files(
    stages: Stages, stage: str, command: tuple[str, ...], *, back: bool
) -> None:
    lab = stages.lab
    ends = stages.find_ends(stage, *command)
    watcher = stages.rewind(stage)
    kind = "done" if command == MIGRATE else "undone"
    process = lab.start_migrator(*command)
    wait_until(lambda: ("cut_over_file", kind) in [(one["step"], one["kind"]) for one in lab.journal()], process)
    kill(process)
    lab.gate.check()
    lab.gate.clear()
    watcher.check("after the kill")
    check_way_on(lab, command, ends, watcher, back=back)


def check_way_on(lab: WatchedLab, command: tuple[str, ...], ends: Ends, watcher: Watcher, *, back: bool) -> None:
    """Status is right, and the same command, or the way ``back``, comes to the end that it comes to when undisturbed."""
    status = check_status(lab)
    if status["phase"] == "rolling-back":
        lab.migrator(*MIGRATE, expect=4)
    elif back and status["phase"] != "finalized":
        command = ROLLBACK
    over = status["phase"] in ("migrated", "rolled-back", "finalized")
    assert over or f"migrator {command[0]}" in status["next_command"], status
    lab.migrator(*command)
    lab.gate.check()
    watcher.check("at the end")
    check_end(lab, ends.back if command == ROLLBACK else ends.on)
