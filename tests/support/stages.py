"""Stages of one small migration, kept, so that a command can be run from each many times; and what it does undisturbed.

stages = build_stages(directory, server)        # "planned", "migrated", "moved on"
ends = stages.find_ends("planned", *MIGRATE)    # where it comes to, forward and back
watcher = stages.rewind("planned")
...                                             # disturb a run of it
check_status(stages.lab)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from migrator.state.snapshot import read_snapshot
from tests.support.programs import require_program
from tests.support.s3_servers import S3Server
from tests.support.small_estate import STATES
from tests.support.watched_lab import Kept, Truth, WatchedLab
from tests.support.watcher import Watcher

MIGRATE, ROLLBACK = ("migrate", "--yes"), ("rollback", "--yes")


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
