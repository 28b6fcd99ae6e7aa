"""One estate with everything around it: a work tree, a GitLab (our stand-in, as a child process), a bucket at an S3 server,
and the real programs that an operator types. Each test makes its own; only the S3 server may be shared.

    with Lab(directory, server=server, client=tofu) as lab:
        lab.migrate()
        lab.just("attic-dev", "tofu-plan", credentials="target")

Children get an environment made from nothing but what is named here, so that nothing of this machine takes part. What is true
is read around the program: by boto3 and by GitLab's own API.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

from migrator.rehearsal.estate import assemble_sample_estate, recorded_states, sample_root
from migrator.settings import parse_settings
from tests.support.programs import OUR_CODE, SEARCH_PATH, require_program
from tests.support.s3_servers import S3Server

CHECKOUT = Path(__file__).resolve().parents[2]
STACKS = ("arc-runners", "attic", "gitlab-runners", "runner-dashboard")
STATES = tuple(sorted(f"{stack}-{environment}" for stack in STACKS for environment in ("dev", "prod")))
ENCRYPTED = "attic-encrypted"
PROJECT = "acme/infra"
TOKEN = "glpat-of-the-maintainer"
RUN_PREFIX = ".migrator/"
TIMEOUT_SECONDS = 180
_OPENER = build_opener(ProxyHandler({}))


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A child that ended."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def document(self) -> Any:
        """The one JSON document that ``--json`` puts on stdout."""
        return json.loads(self.out)


class GitLab:
    """The stand-in as a child process; its truth is read over HTTP."""

    def __init__(self, directory: Path, states: Mapping[str, Sequence[bytes]], *, token: str) -> None:
        self.token = token
        configuration = directory / "gitlab.json"
        configuration.write_text(json.dumps(build_gitlab(states, token)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "migrator.standin", "--config", str(configuration), "--port", "0"],
            cwd=CHECKOUT,
            env={"PATH": SEARCH_PATH, **OUR_CODE},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on "), line
        self.url = line.removeprefix("listening on ").strip()

    def stop(self) -> None:
        end_process(self._process)

    def document(self, name: str) -> bytes:
        """The exact bytes that GitLab serves now."""
        return self._request(f"/api/v4/projects/84/terraform/state/{name}")

    def locked(self) -> list[str]:
        """The names of the states that are locked."""
        return sorted(node["name"] for node in self._list() if node["lockedAt"])

    def serials(self) -> dict[str, int]:
        return {node["name"]: node["latestVersion"]["serial"] for node in self._list()}

    def _list(self) -> list[dict[str, Any]]:
        fields = "nodes { name lockedAt latestVersion { serial } }"
        query = f'query {{ project(fullPath: "{PROJECT}") {{ terraformStates {{ {fields} }} }} }}'
        answer = json.loads(self._request("/api/graphql", json.dumps({"query": query}).encode()))
        return answer["data"]["project"]["terraformStates"]["nodes"]

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"PRIVATE-TOKEN": self.token, "Content-Type": "application/json"}
        with _OPENER.open(Request(self.url + path, body, headers), timeout=30) as answer:
            return answer.read()


def build_gitlab(states: Mapping[str, Sequence[bytes]], token: str) -> dict[str, Any]:
    person = {"value": token, "kind": "pat", "user": "maint", "scopes": ["api"], "roles": {"84": "maintainer"}}
    return {
        "format": "gitlab-standin/1",
        "projects": [{"id": 84, "path": PROJECT}],
        "tokens": [person],
        "states": [
            {"project": 84, "name": name, "versions": [{"text": version.decode()} for version in versions]}
            for name, versions in states.items()
        ],
    }


def read_sample_states(*, encrypted: bool = False) -> dict[str, list[bytes]]:
    """The recorded versions of the eight states, oldest first; with ``encrypted`` a ninth that needs a key."""
    root = sample_root() / "fixtures" / "states"
    states = {
        name: [version.path.read_bytes() for version in versions] for name, versions in recorded_states(root).items()
    }
    if encrypted:
        states[ENCRYPTED] = [(root / "encrypted" / f"{ENCRYPTED}.tfstate").read_bytes()]
    return states


class Lab:
    """See the module. ``settings`` changes the text of migrator.toml; ``build`` makes another repository than the sample."""

    def __init__(
        self,
        directory: Path,
        *,
        server: S3Server,
        client: Path | None = None,
        states: Mapping[str, Sequence[bytes]] | None = None,
        settings: Callable[[str], str] = str,
        build: Callable[[Path], None] = assemble_sample_estate,
        token: str = TOKEN,
        variables: Mapping[str, str] | None = None,
        gitlab: Callable[..., GitLab] = GitLab,
    ) -> None:
        self.directory = directory
        self.repository = directory / "infra"
        self.server = server
        self.client = client
        self.bucket = f"tofu-state-{uuid.uuid4().hex[:12]}"
        self.states = dict(read_sample_states() if states is None else states)
        self.variables = dict(variables or {})
        self.s3 = server.client()
        for name in ("home", "tmp"):
            (directory / name).mkdir(parents=True)
        server.create_bucket(self.bucket)
        self.gitlab = gitlab(directory, self.states, token=token)
        build(self.repository)
        path = self.repository / "migrator.toml"
        sample = (sample_root() / "fixtures" / "estate.toml").read_text()
        sample = sample.replace("https://gitlab.example.com", self.gitlab.url)
        sample = sample.replace("https://rustfs.example.internal:9000", server.endpoint)
        path.write_text(settings(sample.replace('"tofu-state"', f'"{self.bucket}"')))
        self.settings = parse_settings(path.read_text(), where=str(path), environment={})
        self.commit("migrator.toml")
        self.files = self.snapshot()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gitlab.stop()

    def environment(self, credentials: str = "both") -> dict[str, str]:
        """What a child gets: credentials of the "source", the "target", "both", or "none"."""
        base = {
            "PATH": SEARCH_PATH,
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.directory / "tmp"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "TF_CLI_CONFIG_FILE": os.devnull,
            "CHECKPOINT_DISABLE": "1",
            "TF_INPUT": "0",
            "LANG": "C.UTF-8",
        }
        if self.client:
            base["TOFU"] = str(self.client)
        if credentials in ("source", "both"):
            base |= {"TF_HTTP_PASSWORD": self.gitlab.token, "GITLAB_TOKEN": self.gitlab.token}
            base |= {"GITLAB_API_URL": f"{self.gitlab.url}/api/v4", "GITLAB_PROJECT_ID": "84"}
        if credentials in ("target", "both"):
            base |= {"AWS_ACCESS_KEY_ID": self.server.access_key, "AWS_SECRET_ACCESS_KEY": self.server.secret_key}
        return base | self.variables

    def migrator(self, *arguments: str, expect: int | None = 0, **more: Any) -> Finished:
        """Run our command line and check its exit code, unless ``expect`` is None."""
        done = finish(self.start_migrator(*arguments, **more))
        assert expect in (None, done.code), (
            f"migrator {' '.join(arguments)} ended with {done.code}, not {expect}:\n{done.text}"
        )
        return done

    def start_migrator(
        self, *arguments: str, directory: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        environment = self.environment() | OUR_CODE | dict(variables or {})
        return start([sys.executable, "-m", "migrator", *arguments], directory or self.repository, environment)

    def migrate(self, *arguments: str) -> None:
        """Plan and migrate."""
        self.migrator("plan")
        self.migrator("migrate", "--yes", *arguments)

    def just(self, state: str, recipe: str, *arguments: str, credentials: str, **more: Any) -> Finished:
        """Run a recipe of the root Justfile for a state, as in ``just env=dev tofu-init attic``."""
        stack, environment = split_state(state)
        command = [str(require_program("just")), f"env={environment}", recipe, stack, *arguments]
        return self.run(command, credentials=credentials, **more)

    def tofu(self, state: str, *arguments: str, credentials: str, **more: Any) -> Finished:
        """Run OpenTofu itself in the directory of a state's stack."""
        more.setdefault("directory", self.repository / "stacks" / split_state(state)[0])
        return self.run([str(self.client), *arguments], credentials=credentials, **more)

    def plan_flags(self, state: str) -> list[str]:
        """The variable files that an empty plan of a state needs."""
        bound = {one.name: one.var_files for one in self.settings.state}
        return [f"-var-file={name}" for name in bound.get(state, ())]

    def check_empty_plan(self, state: str, *, credentials: str, directory: Path | None = None) -> None:
        """``just tofu-init`` and ``tofu plan`` find nothing to do, locks included."""
        top = directory or self.repository
        self.just(state, "tofu-init", credentials=credentials, directory=top)
        self.tofu(
            state, "plan", "-detailed-exitcode", *self.plan_flags(state), credentials=credentials,
            directory=top / "stacks" / split_state(state)[0],
        )  # fmt: skip

    def run(
        self,
        command: Sequence[str],
        *,
        credentials: str = "none",
        directory: Path | None = None,
        expect: int | None = 0,
        variables: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run any program; ``expect`` None takes every exit code."""
        environment = self.environment(credentials) | dict(variables or {})
        done = finish(start(command, directory or self.repository, environment))
        assert expect in (None, done.code), f"{' '.join(command)} ended with {done.code}, not {expect}:\n{done.text}"
        return done

    def git(self, *arguments: str, directory: Path | None = None) -> str:
        return self.run(["git", *arguments], directory=directory).out

    def commit(self, *paths: str) -> None:
        self.git("add", *paths)
        who = ("-c", "user.name=Operator", "-c", "user.email=operator@example.com")
        self.git(*who, "commit", "--quiet", "--no-verify", "--message", "Settings")

    def clone(self, name: str) -> Path:
        """Another checkout of the repository as it was committed."""
        self.git("clone", "--quiet", str(self.repository), str(self.directory / name))
        return self.directory / name

    # --- what is true -------------------------------------------------------------------------------------------------

    def snapshot(self, directory: Path | None = None) -> dict[str, tuple[bytes, int]]:
        """Bytes and mode of each file that git would see, by path."""
        top = directory or self.repository
        listed = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", directory=top).split("\0")
        paths = [path for path in listed if path and (top / path).exists()]
        return {path: ((top / path).read_bytes(), (top / path).stat().st_mode) for path in paths}

    def changed_files(self) -> set[str]:
        """The paths that differ from the files as they were at the beginning."""
        now = self.snapshot()
        return {path for path in self.files.keys() | now.keys() if self.files.get(path) != now.get(path)}

    def key(self, state: str) -> str:
        return f"{PROJECT}/{state}/terraform.tfstate"

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket but the mirrored runs, by key."""
        keys = [key for key in self._list_keys("") if not key.startswith(RUN_PREFIX)]
        return {key: self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def mirrored(self) -> list[str]:
        """The names of the mirrored objects, below the runs."""
        return [key.removeprefix(f"{RUN_PREFIX}runs/") for key in self._list_keys(RUN_PREFIX)]

    def _list_keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def documents(self) -> dict[str, bytes]:
        """The state documents at the target, by state name; anything but documents and locks is a mistake."""
        found = self.objects()
        keys = {self.key(state): state for state in self.states}
        strange = {key for key in found if key.removesuffix(".tflock") not in keys}
        assert not strange, f"objects that nobody asked for: {strange}"
        return {keys[key]: data for key, data in found.items() if key in keys}

    def target_locks(self) -> list[str]:
        """The names of the states whose lock object stands at the target."""
        return sorted(
            key.removesuffix("/terraform.tfstate.tflock").removeprefix(PROJECT + "/")
            for key in self.objects()
            if key.endswith(".tflock")
        )

    def newest(self) -> dict[str, bytes]:
        """The newest version of each state that the source was filled with."""
        return {name: versions[-1] for name, versions in self.states.items()}

    def run_directories(self) -> list[Path]:
        return sorted((self.repository / ".migrator" / "runs").glob("*"))

    def journal(self, directory: Path | None = None) -> list[dict[str, Any]]:
        """The whole records of the latest run's journal."""
        runs = sorted(((directory or self.repository) / ".migrator" / "runs").glob("*/journal.jsonl"))
        data = runs[-1].read_bytes() if runs else b""
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]

    def check_migrated(self) -> None:
        """Copies are byte-identical, the source is unchanged and sealed, the target is free."""
        assert self.documents() == self.newest()
        assert {name: self.gitlab.document(name) for name in self.states} == self.newest()
        assert self.gitlab.locked() == sorted(self.states)
        assert self.target_locks() == []

    def check_untouched(self, *, documents: Mapping[str, bytes] | None = None) -> None:
        """As if nothing had happened: files, both backends, locks. ``documents`` is what the source must serve."""
        assert self.changed_files() == set()
        assert self.git("status", "--porcelain") == ""
        assert {name: self.gitlab.document(name) for name in self.states} == (documents or self.newest())
        assert self.gitlab.locked() == []
        assert self.objects() == {}


def split_state(state: str) -> tuple[str, str]:
    stack, _, environment = state.rpartition("-")
    return stack, environment


def start(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(command),
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], answer: str | None = None) -> Finished:
    """Wait for a child, with ``answer`` on its standard input; kill it when it does not end."""
    try:
        out, err = process.communicate(answer, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end within {TIMEOUT_SECONDS} s: {process.args}\n{out}{err}") from None
    assert isinstance(process.args, Sequence)  # every child here is started from a list
    return Finished(command=tuple(map(str, process.args)), code=process.returncode, out=out, err=err)


def end_process(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], *, seconds: float = 60) -> None:
    """Wait until something is true while ``process`` runs; fail when it ended before."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            done = finish(process)
            raise AssertionError(f"it ended too early, with {done.code}:\n{done.text}")
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.001)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL, and check that it was this that ended the process."""
    process.kill()
    done = finish(process)
    assert done.code == -signal.SIGKILL, f"it ended by itself before, with {done.code}:\n{done.text}"


def replace_setting(name: str, value: str) -> Callable[[str], str]:
    """Change or add one line of migrator.toml: ``name`` as in ``target.style``."""
    table, _, key = name.partition(".")

    def change(text: str) -> str:
        line = f"{key} = {value}\n"
        if re.search(rf"^\[{table}\]$", text, re.MULTILINE):
            return text.replace(f"[{table}]\n", f"[{table}]\n{line}", 1)
        return text.replace("[[state]]", f"[{table}]\n{line}\n[[state]]", 1)

    return change
