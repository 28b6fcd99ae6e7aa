"""The command line as a real process, killed by a real SIGKILL at a request; and the S3 server killed instead.

A sample over the whole of each direction: the crash matrix of ``tests/engine`` kills at every effect, inside of one process.
Here each story kills the k-th request of all that the command makes, in one of three ways; then status tells the truth, and
either way leads to an end that is, byte for byte, the one of a run that nobody disturbed.
"""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from migrator.state.snapshot import read_snapshot
from tests.support.estate_lab import finish, kill, wait_until
from tests.support.gate import DroppedError, Moment, Trap
from tests.support.programs import require_program, wants_rustfs
from tests.support.s3_servers import MortalServer, S3Server, start_minio, start_rustfs
from tests.support.small_estate import STATES
from tests.support.watched_lab import Kept, Truth, WatchedLab
from tests.support.watcher import Watcher

MIGRATE, ROLLBACK = ("migrate", "--yes"), ("rollback", "--yes")
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


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What a command does when nothing happens: how many requests, and the end."""

    requests: int
    end: Truth


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Where a command comes to from a stage, and where ``rollback`` comes to."""

    on: Truth
    back: Truth


@dataclass
class Stages:
    """One lab, everything as it is at the beginning of each direction, and the undisturbed run from there."""

    lab: WatchedLab
    kept: dict[str, Kept] = field(default_factory=dict)
    begin: dict[str, Truth] = field(default_factory=dict)
    undisturbed: dict[tuple[str, tuple[str, ...]], Undisturbed] = field(default_factory=dict)

    def keep(self, stage: str) -> None:
        self.kept[stage], self.begin[stage] = self.lab.keep(), self.lab.truth()

    def run(self, stage: str, *command: str) -> Undisturbed:
        """What a command does from a stage; it is run the first time that somebody asks, from the stage's beginning."""
        if (stage, command) not in self.undisturbed:
            watcher = self.rewind(stage)
            self.lab.migrator(*command)
            watcher.check("at the end")
            self.undisturbed[stage, command] = Undisturbed(requests=len(self.lab.gate.seen), end=self.lab.truth())
        return self.undisturbed[stage, command]

    def find_ends(self, stage: str, *command: str) -> Ends:
        """Both ends from a stage. Whoever asks rewinds afterwards."""
        back = self.begin["planned"] if stage == "planned" else self.run(stage, *ROLLBACK).end
        return Ends(on=self.run(stage, *command).end, back=back)

    def rewind(self, stage: str) -> Watcher:
        self.lab.rewind(self.kept[stage])
        return self.lab.watch()


def build_stages(directory: Path, server: S3Server) -> Stages:
    stages = Stages(WatchedLab(directory, server=server, client=require_program("tofu")))
    lab = stages.lab
    lab.migrator("plan")
    stages.keep("planned")
    lab.migrator(*MIGRATE)
    stages.keep("migrated")
    for state in ("dns-prod", "network-prod"):
        apply_at_target(lab, state)
    stages.keep("moved on")
    return stages


def apply_at_target(lab: WatchedLab, state: str) -> None:
    """Somebody works with the target, as everybody does from cut-over on."""
    stack, environment = STATES[state]
    directory = lab.repository / "stacks" / stack
    lab.run(["just", f"env={environment}", "init"], directory=directory, credentials="both")
    lab.run(
        [str(lab.client), "apply", "-auto-approve", "-var=zone=moved.on"], directory=directory, credentials="target"
    )


@pytest.fixture(scope="module")
def stages(find_server: Callable[[str], S3Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    made = build_stages(tmp_path_factory.mktemp("kills") / "lab", find_server("minio"))
    yield made
    made.lab.stop()


# --- what must be true after a kill -----------------------------------------------------------------------------------


def check_status(lab: WatchedLab) -> Mapping[str, Any]:
    """What status says without doubt, offline, is so at the servers and in the work tree."""
    status = lab.migrator("status", "--json", variables={"GITLAB_TOKEN": "", "AWS_ACCESS_KEY_ID": ""}).document()
    own = lab.own_ids()
    for one in status["states"]:
        for said, held in zip((one["source_lock"], one["target_lock"]), lab.lock_ids(one["name"]), strict=True):
            assert said == "in doubt" or (said == "held") == (held in own), (one, held)
        here = read_snapshot(lab.gitlab.document(one["name"])).serial
        found = lab.objects().get(lab.key(one["name"]))
        there = -1 if found is None else read_snapshot(found).serial
        assert there <= here if one["authority"] == "source" else here <= there, one
    files = lab.plan().files
    named = {file.path for file in files if digest_at(lab, file.path) == file.post_sha256}
    doubted = {file.path for file in files} & {one.partition(" ")[2] for one in status["in_doubt"]}
    assert len(named - doubted) <= status["files_cut_over"] <= len(named), status
    return status


def digest_at(lab: WatchedLab, path: str) -> str | None:
    file = lab.repository / path
    return sha256(file.read_bytes()).hexdigest() if file.exists() else None


def check_end(lab: WatchedLab, end: Truth) -> None:
    """As if nothing had happened on the way: both servers, the work tree, and nothing left over beside the run."""
    assert lab.truth() == end
    (run,) = lab.run_directories()
    assert {path.name for path in run.iterdir()} <= {"plan.json", "journal.jsonl", "blobs", "lock", "holder"}


# --- the command is killed --------------------------------------------------------------------------------------------


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
    number = 1 + story * (last - 1) // (direction.stories - 1)
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
    check_status(lab)


# --- the server is killed ---------------------------------------------------------------------------------------------

SERVERS = {"minio": start_minio, "rustfs": start_rustfs}


@dataclass(frozen=True, kw_only=True)
class Death:
    """When the server dies, and whether somebody starts it again before the command has given up."""

    stage: str
    command: tuple[str, ...]
    moment: Moment
    method: str
    path: str
    comes_back: bool


DEATHS = {
    "migrate, a document was written": Death(
        stage="planned", command=MIGRATE, moment=Moment.AFTER, method="PUT", path="tfstate$", comes_back=False
    ),
    "migrate, a lock is taken": Death(
        stage="planned", command=MIGRATE, moment=Moment.BEFORE, method="PUT", path="tflock$", comes_back=True
    ),
    "rollback, a lock was taken": Death(
        stage="moved on", command=ROLLBACK, moment=Moment.AFTER, method="PUT", path="tflock$", comes_back=True
    ),
    "rollback, a document was removed": Death(
        stage="moved on", command=ROLLBACK, moment=Moment.AFTER, method="DELETE", path="tfstate$", comes_back=False
    ),
}


@dataclass(frozen=True)
class Mortal:
    server: MortalServer
    stages: Stages


@pytest.fixture
def mortal(only_mortal: Mortal) -> Mortal:
    only_mortal.server.start()
    return only_mortal


@pytest.fixture(scope="module", params=["minio", *(["rustfs"] if wants_rustfs() else [])])
def only_mortal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    directory = tmp_path_factory.mktemp(request.param)
    server = MortalServer(SERVERS[request.param], require_program(request.param), directory / "disk")
    made = Mortal(server, build_stages(directory / "lab", server.server))
    yield made
    made.stages.lab.stop()
    server.stop()


def test_a_server_that_is_dead(mortal: Mortal) -> None:
    """Nothing is touched, and status still knows what is true; when it is back, so is everything that was there."""
    lab = mortal.stages.lab
    end = mortal.stages.find_ends("migrated", *ROLLBACK).on
    watcher = mortal.stages.rewind("migrated")
    mortal.server.kill()
    lab.migrator("verify", expect=6)
    refused = lab.migrator(*ROLLBACK, expect=6)
    assert "migrator rollback --without-target" in refused.err
    assert lab.migrator("status", "--json").document()["phase"] == "migrated"
    mortal.server.start()
    watcher.check("after the server came back")
    assert lab.truth() == mortal.stages.begin["migrated"]
    lab.migrator(*ROLLBACK)
    lab.gate.check()
    watcher.check("at the end")
    check_end(lab, end)


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS.keys())
def test_a_server_that_is_killed(mortal: Mortal, death: Death) -> None:
    lab = mortal.stages.lab
    end = mortal.stages.find_ends(death.stage, *death.command).on
    watcher = mortal.stages.rewind(death.stage)

    def kill() -> None:
        mortal.server.kill()
        lab.gate.judge = lambda moment: None  # nobody can see what is true until it is back
        if death.comes_back:
            come_back()
        raise DroppedError

    def come_back() -> None:
        mortal.server.start()
        lab.gate.judge = watcher.check

    lab.gate.lay(trap := Trap(death.moment, kill, method=death.method, path=death.path))
    done = lab.migrator(*death.command, expect=None)
    assert trap.sprung is not None
    lab.gate.check()
    if death.comes_back:
        assert done.code in (0, 5), done.text
    else:
        assert done.code == 5, done.text
        assert f"migrator {death.command[0]}" in done.err
        come_back()
    watcher.check("after the server came back")
    check_status(lab)
    lab.migrator(*death.command)
    lab.gate.check()
    watcher.check("at the end")
    check_end(lab, end)
    check_status(lab)
