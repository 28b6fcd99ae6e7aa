"""A small repository of two stacks with everything around it, for tests of the command line.

GitLab is the stand-in in this process, the store is moto in this process (or what a test hands in), each lab has a bucket of its
own. ``lab.run`` runs a command in this process, ``lab.spawn`` as a child. ``lab.world()`` is the whole truth, read around the
program: files, states, locks, objects.
"""

import contextlib
import copy
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from migrator.cli.app import run
from migrator.standin import Fault, Lock, Standin, StateTruth, parse_configuration
from tests.support.programs import OUR_CODE
from tests.support.s3_servers import S3Server

MIRROR = ".migrator/"  # the default of target.run_prefix
CHECKOUT = Path(__file__).resolve().parents[2]
TOKEN = "glpat-small-lab"
DEVELOPER_TOKEN = "glpat-of-a-developer"  # may read, may not lock
STATES = ("alpha-dev", "beta-dev")
_buckets = (f"small-{os.getpid()}-{number}" for number in itertools.count(1))

BACKEND = """terraform {
  backend "http" {
  }
}
"""
MAIN = """resource "terraform_data" "only" {
  input = "NAME"
}
"""
JUSTFILE = """# Each stack keeps its state in GitLab.
init stack env:
    tofu -chdir=stacks/{{ stack }} init \\
        -backend-config="address=https://gitlab.example.com/api/v4/projects/84/terraform/state/{{ stack }}-{{ env }}" \\
        -backend-config="lock_address=https://gitlab.example.com/api/v4/projects/84/terraform/state/{{ stack }}-{{ env }}/lock" \\
        -backend-config="lock_method=POST" \\
        -backend-config="password=$TF_HTTP_PASSWORD"
"""
BINDINGS = """
[[state]]
name = "alpha-dev"
stack = "alpha"
environment = "dev"

[[state]]
name = "beta-dev"
stack = "beta"
environment = "dev"
"""


def document(serial: int, lineage: str = "l-1", **more: object) -> bytes:
    """A state document with a spacing of its own, so that re-serialising is found out."""
    body = {"version": 4, "terraform_version": "1.12.6", "serial": serial, "lineage": lineage, "outputs": {}}
    return json.dumps({**body, "resources": [], **more}, indent=3).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout: exactly one, and nothing else."""
        return json.loads(self.out)

    @property
    def told(self) -> dict[str, str]:
        """The four parts of the error message on stderr."""
        lines = ("\n" + self.err).rpartition("\nerror: ")[2].rstrip("\n").split("\n")
        parts = {"what": lines[0]}
        for line in lines[1:]:
            label, _, text = line.strip().partition(":")
            parts[label] = text.strip()
        return parts


@dataclass
class Lab:
    """``states`` maps names to their versions' bytes; ``rows`` are further entries of the stand-in's configuration.

    With ``protection`` its GitLab has protection rules.
    """

    directory: Path
    server: S3Server
    states: Mapping[str, Sequence[bytes]] = field(default_factory=lambda: dict.fromkeys(STATES, (document(1),)))
    rows: Sequence[Mapping[str, object]] = ()
    faults: Sequence[Mapping[str, object]] = ()
    bindings: str = BINDINGS
    proof: str = "off"
    protection: bool = False

    def __post_init__(self) -> None:
        self.bucket = next(_buckets)
        if self.server.name != "flawed":
            self.server.create_bucket(self.bucket)
        self.repo = self.directory / "repo"
        self.gitlab = Standin(parse_configuration(self._gitlab()))
        self.url = self.gitlab.start()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "GITLAB_TOKEN": TOKEN,
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        self._write_repository()
        self.write_settings()

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> Finished:
        """Run a command in this process, without a terminal."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, {**self.environment, **environment}, clear=True),
            contextlib.chdir(cwd or self.repo),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = run(arguments)
        return Finished(code=code, out=out.getvalue(), err=err.getvalue())

    def spawn(self, *arguments: str, wrapper: Sequence[str] = (), **more: Any) -> subprocess.Popen[str]:
        """Start a command as a child process."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
        environment = {**self.environment, **OUR_CODE, **more.pop("env", {})}
        command = [*wrapper, sys.executable, "-m", "migrator", *arguments]
        return subprocess.Popen(command, cwd=self.repo, env=environment, **{**streams, **more})

    def spawn_and_wait(self, *arguments: str, **more: Any) -> Finished:
        """Run a command as a child process."""
        child = self.spawn(*arguments, **more)
        out, err = child.communicate(timeout=120)
        return Finished(code=child.returncode, out=out or "", err=err or "")

    def plan(self) -> Finished:
        """Make the default plan, which must succeed."""
        done = self.run("plan")
        assert done.code == 0, done.err
        return done

    def migrate(self, *more: str) -> Finished:
        """Plan and migrate, which must succeed."""
        self.plan()
        done = self.run("migrate", "--yes", *more)
        assert done.code == 0, done.err
        return done

    # -- the truth ---------------------------------------------------------------------------------------------------

    def world(self) -> dict[str, object]:
        """Everything outside of ``.migrator``: files with modes, states with locks, objects."""
        return {"files": self.files(), "gitlab": self.gitlab.truth(), "objects": self.objects()}

    def files(self) -> dict[str, tuple[int, bytes]]:
        found = {}
        for path in sorted(self.repo.rglob("*")):
            relative = path.relative_to(self.repo)
            if path.is_file() and relative.parts[0] not in {".git", ".migrator"}:
                found[relative.as_posix()] = (path.stat().st_mode, path.read_bytes())
        return found

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket but mirrored runs."""
        client = self.server.client()
        listed = client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        keys = [one["Key"] for one in listed if not one["Key"].startswith(".migrator/")]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def truth(self, name: str) -> StateTruth:
        found = self.gitlab.truth_of(84, name)
        assert found is not None
        return found

    def lock_at_source(self, name: str) -> Lock | None:
        return self.truth(name).lock

    def runs(self) -> list[Path]:
        directory = self.repo / ".migrator" / "runs"
        return sorted(directory.iterdir()) if directory.is_dir() else []

    def mirrored(self) -> dict[str, bytes]:
        """Everything below the prefix where runs are mirrored, by its name there."""
        client = self.server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=MIRROR)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {key.removeprefix(MIRROR): client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    # -- other machines ----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit whatever stands in the work tree."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "work")

    def clone(self, name: str = "elsewhere") -> "Lab":
        """A fresh clone of what is committed, on another machine: the same servers and credentials, no run directory."""
        there = copy.copy(self)
        there.repo = self.directory / name
        subprocess.run(["git", "clone", "-q", str(self.repo), str(there.repo)], check=True, capture_output=True)
        return there

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repo), "-c", "user.name=lab", "-c", "user.email=lab@example.com", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    # -- making the world --------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes) -> None:
        self.server.client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def arm(self, **fault: Any) -> None:
        self.gitlab.arm(Fault(**fault))

    def write_settings(self, *changes: tuple[str, str], more: str = "") -> None:
        text = (
            f'format = "migrator.config/1"\n\n[source]\nurl = "{self.url}"\nproject = 84\n\n[target]\n'
            f'endpoint = "{self.server.endpoint}"\nbucket = "{self.bucket}"\n\n[proof]\nplan = "{self.proof}"\n'
            f"{self.bindings}{more}"
        )
        for before, after in changes:
            assert before in text, before
            text = text.replace(before, after)
        (self.repo / "migrator.toml").write_text(text)

    def close(self) -> None:
        self.gitlab.stop()

    def _gitlab(self) -> dict[str, object]:
        seeded = [
            {"project": 84, "name": name, "versions": [{"text": data.decode()} for data in versions]}
            for name, versions in self.states.items()
        ]
        token = {"value": TOKEN, "kind": "pat", "user": "maint", "scopes": ["api"], "roles": {"84": "maintainer"}}
        weaker = {**token, "value": DEVELOPER_TOKEN, "user": "dev", "roles": {"84": "developer"}}
        return {
            **({"protection_rules": []} if self.protection else {}),
            "format": "gitlab-standin/1",
            "projects": [{"id": 84, "path": "acme/infra"}],
            "tokens": [token, weaker],
            "states": [*seeded, *(dict(row) for row in self.rows)],
            "faults": [dict(fault) for fault in self.faults],
        }

    def _write_repository(self) -> None:
        for name in ("alpha", "beta"):
            stack = self.repo / "stacks" / name
            stack.mkdir(parents=True)
            (stack / "backend.tf").write_text(BACKEND)
            (stack / "main.tf").write_text(MAIN.replace("NAME", name))
        (self.repo / "Justfile").write_text(JUSTFILE)
        make_repository(self.repo)


def make_repository(directory: Path) -> None:
    """Commit everything below ``directory``."""
    identity = ["-c", "user.name=lab", "-c", "user.email=lab@example.com"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", str(directory)]):
        subprocess.run(["git", "-C", str(directory), *arguments], check=True, capture_output=True)
