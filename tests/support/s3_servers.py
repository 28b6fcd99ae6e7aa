"""S3 servers for tests, each started on a free port of 127.0.0.1 and stopped by its own process: moto in this process,
MinIO, RustFS and versitygw as the real programs with a disk.

    server = start_minio(find_program("minio"), directory)
    server.create_bucket("tofu-state")
    ...
    server.stop()

A program is named by an environment variable (MINIO, RUSTFS, VERSITYGW) or found on PATH. Deliberately not here:
building programs (`scripts/programs`), skipping tests.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCESS_KEY = "migrator-test"
SECRET_KEY = "migrator-test-secret"
REGION = "us-east-1"
_START_SECONDS = 60
_STOP_SECONDS = 15


def _refuse_to_die() -> None:
    raise NotImplementedError("this server is a part of our own process")


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server. ``stop()`` may be called twice; ``kill()`` is SIGKILL: nothing is flushed, nothing is closed."""

    name: str
    endpoint: str
    stop: Callable[[], None]
    kill: Callable[[], None] = _refuse_to_die
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION

    def client(self) -> Any:
        """A plain boto3 client, for looking at the truth."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def create_bucket(self, name: str, *, versioning: bool = False) -> None:
        """Create it, waiting for a server that is healthy before it can write (RustFS answers 503 for a moment)."""
        client = self.client()
        _repeat_while_unavailable(lambda: client.create_bucket(Bucket=name))
        if versioning:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def _repeat_while_unavailable(call: Callable[[], object]) -> None:
    from botocore.exceptions import ClientError

    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            call()
            return
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503 or time.monotonic() > end:
                raise
            time.sleep(0.1)


def find_program(name: str) -> Path | None:
    """The program that the environment variable NAME names, else the one on PATH, else None."""
    named = os.environ.get(name.upper())
    found = named or shutil.which(name)
    return Path(found) if found else None


def start_moto() -> S3Server:
    from moto import backends

    from migrator.rehearsal.server import start_moto as start

    # moto lists the directory of its services with each request, which takes longer than the request itself.
    services = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: services
    url, stop = start()
    running = [stop]

    def stop_once() -> None:
        while running:
            running.pop()()

    return S3Server(name="moto", endpoint=url, stop=stop_once)


def start_minio(
    program: Path,
    directory: Path,
    *,
    port: int | None = None,
    access_key: str = ACCESS_KEY,
    secret_key: str = SECRET_KEY,
) -> S3Server:
    port, console = port or free_port(), free_port()
    return _start(
        "minio",
        [
            program,
            *("server", directory, "--quiet"),
            *("--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}"),
        ],
        environment={"MINIO_ROOT_USER": access_key, "MINIO_ROOT_PASSWORD": secret_key, "MINIO_BROWSER": "off"},
        directory=directory,
        endpoint=f"http://127.0.0.1:{port}",
        ready="/minio/health/ready",
        credentials=(access_key, secret_key),
    )


def start_rustfs(program: Path, directory: Path, *, port: int | None = None) -> S3Server:
    port = port or free_port()
    return _start(
        "rustfs",
        [program, "server", directory, "--address", f"127.0.0.1:{port}"],
        environment={
            "RUSTFS_ACCESS_KEY": ACCESS_KEY,
            "RUSTFS_SECRET_KEY": SECRET_KEY,
            "RUSTFS_CONSOLE_ENABLE": "false",
        },
        directory=directory,
        endpoint=f"http://127.0.0.1:{port}",
        ready="/health",
    )


def start_versitygw(program: Path, directory: Path) -> S3Server:
    port = free_port()
    versions = directory.with_name(f"{directory.name}-versions")
    versions.mkdir(parents=True, exist_ok=True)
    return _start(
        "versitygw",
        [
            program,
            "--port",
            f"127.0.0.1:{port}",
            "--health",
            "/health",
            "posix",
            "--versioning-dir",
            versions,
            directory,
        ],
        environment={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
        directory=directory,
        endpoint=f"http://127.0.0.1:{port}",
        ready="/health",
    )


class MortalServer:
    """A server with a disk, killed and started again at the same endpoint. ``server`` is the last that was started."""

    def __init__(self, start: Callable[..., S3Server], program: Path, directory: Path) -> None:
        self._start, self._program, self._directory, self._port = start, program, directory, free_port()
        self._alive = False
        self.start()

    def start(self) -> None:
        """See that it runs and serves what is on its disk (a server may be ready before its disk is)."""
        if not self._alive:
            self.server = self._start(self._program, self._directory, port=self._port)
            self._alive = True
            _repeat_while_unavailable(self.server.client().list_buckets)

    def kill(self) -> None:
        self.server.kill()
        self._alive = False

    def stop(self) -> None:
        self.server.stop()
        self._alive = False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(
    name: str,
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path,
    endpoint: str,
    ready: str,
    credentials: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
) -> S3Server:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory.with_name(f"{directory.name}.log")
    base = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=base | dict(environment),
            cwd=directory.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def stop() -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill() -> None:
        process.kill()
        process.wait()

    try:
        _wait_until_ready(process, endpoint + ready)
    except Exception as error:
        stop()
        raise RuntimeError(
            f"{name} did not start; its output ends:\n{log.read_text(errors='replace')[-2000:]}"
        ) from error
    access_key, secret_key = credentials
    return S3Server(name=name, endpoint=endpoint, stop=stop, kill=kill, access_key=access_key, secret_key=secret_key)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise TimeoutError(f"{url} is not ready after {_START_SECONDS} s")
