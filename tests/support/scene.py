"""Two machines at work on one estate: clones with homes, users, tokens and run directories of their own; and others.

scene = open_scene(directory, server=server)
watcher = scene.begin("planned")                 # or "checked", "cut-over", "migrated", "moved on"
refused = scene.bob.migrator("migrate", "--yes", expect=4)
scene.bob.migrator(*scene.bob.next(refused))     # what its message names
scene.end(watcher)
scene.close()
"""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from migrator.state.snapshot import read_snapshot
from tests.support.applies import begin_apply
from tests.support.estate_lab import TOKEN, Finished
from tests.support.programs import require_program
from tests.support.s3_servers import S3Server
from tests.support.small_estate import STATES, build_document
from tests.support.watched_lab import EmbeddedGitLab, Kept, Truth, WatchedLab
from tests.support.watcher import Watcher

MIGRATE, ROLLBACK = ("migrate", "--yes"), ("rollback", "--yes")
BOBS_TOKEN = "glpat-of-bob"
STATE = "dns-prod"  # the one that somebody else is after
APPLY = ("apply", "-auto-approve", "-var=zone=rival")


@dataclass(frozen=True)
class Machine:
    """Where somebody works: a clone, a home, a user."""

    lab: WatchedLab
    user: str
    token: str
    directory: Path

    def variables(self) -> dict[str, str]:
        home = self.lab.directory / f"home-of-{self.user}"
        home.mkdir(exist_ok=True)
        credentials = {"GITLAB_TOKEN": self.token, "TF_HTTP_PASSWORD": self.token}
        return {"HOME": str(home), "LOGNAME": self.user, **credentials}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return self.lab.start_migrator(*arguments, directory=self.directory, variables=self.variables())

    def migrator(self, *arguments: str, expect: int = 0) -> Finished:
        return self.lab.migrator(*arguments, directory=self.directory, variables=self.variables(), expect=expect)

    def next(self, done: Finished) -> tuple[str, ...]:
        """The command that a message names."""
        (line,) = re.findall(r"^ *next: (.*)$", done.err, re.MULTILINE)
        if "run the command again" in line:
            return done.command[done.command.index("migrator") + 1 :]
        command = re.findall(r"migrator ((?:migrate|rollback|plan|verify|status)\b[^;,()]*)", line)[0].split()
        return (*command, "--yes") if command[0] in ("migrate", "rollback") else tuple(command)

    def check_clean(self) -> None:
        """Nothing half done is left here: no lock, no file, nothing in doubt."""
        assert self.lab.git("status", "--porcelain", directory=self.directory) == ""
        held = {lock for name in STATES for lock in self.lab.lock_ids(name)}
        assert not held & self.lab.own_ids(self.directory)
        if list(self.directory.glob(".migrator/runs/*")):
            status = self.migrator("status", "--json").document()
            assert status["phase"] in ("planned", "refused", "rolled-back"), status
            assert not status["in_doubt"]
            sides = {(one["authority"], one["source_lock"], one["target_lock"]) for one in status["states"]}
            assert sides == {("source", "free", "free")}


@dataclass
class Scene:
    """One lab, two machines, and everything as it is at each barrier."""

    lab: WatchedLab
    alice: Machine
    bob: Machine
    kept: dict[str, Kept]
    truth: dict[str, Truth]

    def keep(self, barrier: str) -> None:
        self.kept[barrier], self.truth[barrier] = self.lab.keep(), self.lab.truth()

    def begin(self, barrier: str) -> Watcher:
        self.lab.rewind(self.kept[barrier])
        return self.lab.watch()

    def end(self, watcher: Watcher) -> None:
        self.lab.gate.check()
        watcher.check("at the end")

    # --- what somebody else does; also while a request waits at the gate ----------------------------------------------

    def write_target(self, data: bytes) -> None:
        self.lab.s3.put_object(Bucket=self.lab.bucket, Key=self.lab.key(STATE), Body=data)

    def replace_target_lock(self) -> None:
        info = {"ID": "a-lock-of-somebody", "Operation": "OperationTypeApply", "Who": "somebody@elsewhere"}
        info |= {"Info": "", "Version": "1.12.6", "Created": "2026-04-15T09:00:00Z", "Path": ""}
        self.lab.s3.put_object(
            Bucket=self.lab.bucket, Key=self.lab.key(STATE) + ".tflock", Body=json.dumps(info).encode()
        )

    def remove_target_lock(self) -> None:
        self.lab.s3.delete_object(Bucket=self.lab.bucket, Key=self.lab.key(STATE) + ".tflock")

    def init(self, machine: Machine) -> dict[str, Any]:
        """Initialize the stack in somebody's clone, at the backend that its files name, and return how to run there."""
        directory = machine.directory / "stacks" / STATES[STATE][0]
        variables = machine.variables() | {"TF_HTTP_RETRY_MAX": "0"}
        place = {"directory": directory, "credentials": "both", "variables": variables}
        self.lab.run(["just", f"env={STATES[STATE][1]}", "init"], **place)
        return place

    def tofu(self, machine: Machine, *arguments: str, expect: int = 0) -> Finished:
        return self.lab.run([str(self.lab.client), *arguments], **self.init(machine), expect=expect)

    def begin_apply(self, machine: Machine) -> subprocess.Popen[str]:
        """An apply that has the lock and waits for its operator."""
        place = self.init(machine)
        environment = self.lab.environment("both") | place["variables"]
        assert self.lab.client is not None
        return begin_apply(self.lab.client, "-var=zone=rival", directory=place["directory"], environment=environment)

    def check_carried(self, document: bytes) -> None:
        """Back at the beginning, but that the source has one more version of the state: this document."""
        begin = self.truth["planned"]
        serial = read_snapshot(document).serial
        versions = {**begin.versions, STATE: {**begin.versions[STATE], serial: document}}
        now = self.lab.truth()
        assert now.versions[STATE][serial] == document
        between = {older: data for older, data in now.versions[STATE].items() if 4 < older < serial}
        versions[STATE] |= between  # what was carried back before somebody wrote again
        assert now == replace(begin, versions=versions)

    def close(self) -> None:
        self.lab.stop()


def newer(steps: int = 1) -> bytes:
    """What an apply writes after ``steps`` more of them."""
    return build_document(STATE, 4 + steps, zone=f"rival-{steps}.example.com")


def said_by(done: Finished) -> str:
    """A message in one line."""
    return " ".join(done.err.split())


def open_scene(directory: Path, *, server: S3Server) -> Scene:
    """Make a lab and keep it at each barrier of a migration, which alice carries out."""
    gitlab = partial(EmbeddedGitLab, people={BOBS_TOKEN: "bob"})
    lab = WatchedLab(directory, server=server, client=require_program("tofu"), gitlab=gitlab)
    alice = Machine(lab, "alice", TOKEN, lab.repository)
    bob = Machine(lab, "bob", BOBS_TOKEN, lab.clone("bob"))
    scene = Scene(lab=lab, alice=alice, bob=bob, kept={}, truth={})
    for machine in (alice, bob):
        machine.migrator("plan")
    shutil.copy(lab.repository / ".migrator/plan.json", bob.directory / ".migrator/of-alice.json")
    for barrier in ("planned", "checked", "cut-over", "migrated"):
        if barrier != "planned":
            alice.migrator(*MIGRATE, *([] if barrier == "migrated" else ["--until", barrier]))
        scene.keep(barrier)
    scene.tofu(alice, *APPLY)
    scene.keep("moved on")
    return scene
