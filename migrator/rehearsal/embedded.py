"""The embedded source and target of a rehearsal: our GitLab stand-in and moto's S3, each a child process on 127.0.0.1.

Both live in memory and hold invented credentials only. They end with the ``with`` block, on an interrupt, and, because
they wait on a pipe of ours, even when this process is killed.
"""

import importlib.util
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import quote
from xml.etree import ElementTree

from migrator.errors import ConfigurationError
from migrator.rehearsal.estate import RecordedVersion
from migrator.rehearsal.programs import build_python_environment

START_SECONDS = 60.0
STOP_SECONDS = 5.0
_MOST_PAGES = 1000
_S3 = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}
# What moto's server needs of the extra `rehearse`.
_PACKAGES = ("moto", "flask", "flask_cors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Invented for one rehearsal. ``repr`` shows none of them, so that no traceback looks like a leak."""

    token: str = field(default_factory=lambda: f"glpat-rehearsal-{secrets.token_hex(8)}", repr=False)
    access_key: str = field(default_factory=lambda: f"rehearsal{secrets.token_hex(6)}", repr=False)
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Both servers, running. ``source_url`` is GitLab's base address, ``target_url`` the S3 endpoint."""

    source_url: str
    project_id: int
    project_path: str
    target_url: str
    bucket: str
    credentials: Credentials

    def list_target_keys(self) -> tuple[str, ...]:
        """Return every key of the bucket, sorted: objects and locks, whoever wrote them."""
        keys: list[str] = []
        token = ""
        for _ in range(_MOST_PAGES):
            page = self._list_page(token)
            keys += [entry.text or "" for entry in page.iterfind("s3:Contents/s3:Key", _S3)]
            token = page.findtext("s3:NextContinuationToken", "", _S3)
            if not token:
                break
        return tuple(sorted(keys))

    def _list_page(self, token: str) -> ElementTree.Element:
        url = f"{self.target_url}/{self.bucket}?list-type=2&continuation-token={quote(token, safe='')}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url if token else url.partition("&")[0], timeout=30) as answer:
            return ElementTree.fromstring(answer.read())  # noqa: S314 - our own server wrote it


@contextmanager
def run_embedded(
    states: Mapping[str, Sequence[RecordedVersion]], *, project_id: int, project_path: str, bucket: str, directory: Path
) -> Iterator[Embedded]:
    """Run both servers; the source holds ``states``, the target an empty bucket. ``directory`` gets logs, 0600.

    Raises: ConfigurationError when the S3 server is not installed or a server does not start.
    """
    check_target_is_installed()
    credentials = Credentials()
    configuration = directory / "source.json"
    document = build_source_configuration(
        states, project_id=project_id, project_path=project_path, token=credentials.token
    )
    with os.fdopen(os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(document, stream)
    with ExitStack() as stack:
        # Both are started before either is waited for.
        source = stack.enter_context(_Server.start("source", str(configuration), directory=directory))
        target = stack.enter_context(_Server.start("target", bucket, directory=directory))
        yield Embedded(
            source_url=source.wait_for_url(),
            project_id=project_id,
            project_path=project_path,
            target_url=target.wait_for_url(),
            bucket=bucket,
            credentials=credentials,
        )


def check_target_is_installed() -> None:
    """Check that the embedded S3 server can be imported, without importing it.

    Raises: ConfigurationError.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"a rehearsal needs an embedded S3 server, and {', '.join(missing)} is not installed",
            now="nothing was started and nothing was touched",
            hint="pip install 'tofu-state-migrator[rehearse]'",
        )


def build_source_configuration(
    states: Mapping[str, Sequence[RecordedVersion]], *, project_id: int, project_path: str, token: str
) -> Mapping[str, object]:
    """Return the stand-in's configuration (interface.md section 6); documents are named by path, never quoted."""
    roles = {str(project_id): "maintainer"}
    return {
        "format": "gitlab-standin/1",
        "projects": [{"id": project_id, "path": project_path}],
        "tokens": [{"value": token, "kind": "pat", "user": "migrator", "scopes": ["api"], "roles": roles}],
        "states": [
            {
                "project": project_id,
                "name": name,
                "versions": [{"file": str(version.path.resolve())} for version in versions],
            }
            for name, versions in sorted(states.items())
        ],
    }


@contextmanager
def stop_on_termination() -> Iterator[None]:
    """Turn SIGTERM into ``KeyboardInterrupt``, so that servers and directories are cleaned up on both."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """One child process, and the log of what it says on stderr."""

    kind: str
    process: subprocess.Popen[bytes]
    log: Path

    @staticmethod
    @contextmanager
    def start(kind: str, argument: str, *, directory: Path) -> Iterator["_Server"]:
        log = directory / f"{kind}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "migrator.rehearsal.server", kind, argument],
                env=build_python_environment(os.environ),
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # An interrupt at the terminal must not take the servers away before the story has ended.
                start_new_session=True,
            )
        server = _Server(kind=kind, process=process, log=log)
        try:
            yield server
        finally:
            server.stop()

    def wait_for_url(self) -> str:
        assert self.process.stdout is not None
        end = time.monotonic() + START_SECONDS
        line = b""
        while not line.endswith(b"\n") and time.monotonic() < end:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.5)
            if ready:
                more = os.read(self.process.stdout.fileno(), 4096)
                if not more:
                    break
                line += more
        announced = line.decode(errors="replace").strip()
        if announced.startswith("listening on "):
            return announced.removeprefix("listening on ")
        said = self.log.read_text(errors="replace").strip().splitlines()
        raise ConfigurationError(
            f"the embedded {self.kind} did not start: {said[-1] if said else f'no answer in {START_SECONDS:.0f} s'}",
            where=str(self.log),
            now="nothing outside of the rehearsal's directory was touched",
        )

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
