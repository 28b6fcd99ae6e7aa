"""Real servers behind the backends: the GitLab stand-in, moto, and every S3 program that is there.

MinIO must be there (a missing one fails); RustFS and versitygw take part where an environment variable or PATH has them.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from migrator.backends.base import StateLock
from migrator.backends.gitlab_http import GitLabSource
from migrator.backends.lock_info import LockInfo
from migrator.backends.retry import RetryPolicy
from migrator.backends.s3 import S3Target
from migrator.standin import Standin, parse_configuration
from tests.support.certificates import write_certificate
from tests.support.fault_proxy import Effect, Fault
from tests.support.s3_servers import (
    S3Server,
    find_program,
    start_minio,
    start_moto,
    start_rustfs,
    start_versitygw,
)

PROGRAMS = {"minio": start_minio, "rustfs": start_rustfs, "versitygw": start_versitygw}
S3_SERVERS = [
    pytest.param("moto"),
    pytest.param("minio", marks=pytest.mark.acceptance),
    *(
        pytest.param(name, marks=pytest.mark.acceptance)
        for name in ("rustfs", "versitygw")
        if find_program(name) is not None
    ),
]
# versitygw 1.8.0 refuses a conditional create over a delete marker: on a versioned bucket its lock works once.
REFUSES_OVER_DELETE_MARKERS = {"versitygw"}
_numbers = itertools.count(1)


def quick_policy(attempts: int = 3) -> RetryPolicy:
    """Retries without waiting; what was to be slept is of no interest here."""
    return RetryPolicy(attempts=attempts, sleep=lambda _: None)


def document(serial: int, **more: object) -> bytes:
    """A state document with a spacing of its own, so that re-serialising is found out."""
    return json.dumps({"version": 4, "serial": serial, "lineage": "l-1"} | more, indent=3).encode() + b"\n"


def lock_info(lock_id: str) -> LockInfo:
    return LockInfo(
        id=lock_id,
        operation="migrator-migrate",
        who="me@here",
        version="1.12.6",
        created="2026-01-02T03:04:05.678Z",
    )


def s3_error(code: str, status: int, **headers: str) -> Fault:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said by it</Message></Error>".encode()
    return Fault(
        Effect.ANSWER, status=status, headers={"Content-Type": "application/xml"} | headers, body=body, times=99
    )


def build_target(endpoint: str, bucket: str, /, **changes: Any) -> S3Target:
    settings: dict[str, Any] = {
        "endpoint": endpoint,
        "bucket": bucket,
        "region": "us-east-1",
        "path_style": True,
        "access_key": "migrator-test",
        "secret_key": "migrator-test-secret",
        "retry": quick_policy(),
    }
    return S3Target(**(settings | changes))


@pytest.fixture(scope="session")
def start_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """Start a server by name, once."""
    running: dict[str, S3Server] = {}

    def start(name: str) -> S3Server:
        if name not in running:
            if name == "moto":
                running[name] = start_moto()
            else:
                program = find_program(name)
                if program is None:
                    pytest.fail(f"{name} is missing: `scripts/programs` tells how to get it")
                running[name] = PROGRAMS[name](program, tmp_path_factory.mktemp(name) / "data")
        return running[name]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key, in one PEM file."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@dataclass(frozen=True)
class S3Place:
    """A bucket of its own on a server, and the target in it."""

    server: S3Server
    bucket: str
    target: S3Target

    def keys(self) -> list[str]:
        listed = self.server.client().list_objects_v2(Bucket=self.bucket)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def put(self, key: str, data: bytes) -> None:
        self.server.client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return self.server.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()


def make_place(server: S3Server, *, versioning: bool = False) -> S3Place:
    bucket = f"states-{next(_numbers)}"
    server.create_bucket(bucket, versioning=versioning)
    return S3Place(server=server, bucket=bucket, target=build_target(server.endpoint, bucket))


@pytest.fixture(params=S3_SERVERS)
def place(request: pytest.FixtureRequest, start_s3: Callable[[str], S3Server]) -> S3Place:
    """The same test on every server."""
    return make_place(start_s3(request.param))


@pytest.fixture
def moto_place(start_s3: Callable[[str], S3Server]) -> S3Place:
    """For tests whose subject stands in front of the server."""
    return make_place(start_s3("moto"))


GITLAB = {
    "projects": [{"id": 84, "path": "acme/infra", "old_paths": ["acme/former"]}],
    "tokens": [
        {"value": "t-maint", "user": "maint", "roles": {"84": "maintainer"}},
        {"value": "t-dev", "user": "dev", "roles": {"84": "developer"}},
        {"value": "t-reporter", "user": "rep", "roles": {"84": "reporter"}},
        {"value": "t-stranger", "user": "stranger", "roles": {}},
        {"value": "t-expired", "user": "maint", "expired": True, "roles": {"84": "maintainer"}},
        {"value": "j-run", "kind": "job", "user": "maint", "roles": {"84": "maintainer"}},
    ],
    "states": [
        {"project": 84, "name": "attic-dev", "versions": [{"text": document(7).decode()}]},
        {"project": 84, "name": "a.b c/d", "versions": [{"text": document(n).decode()} for n in (3, 5)]},
        {"project": 84, "name": "gone", "versions": [{"text": document(1).decode()}], "deleted": True},
        {"project": 84, "name": "phantom", "versions": []},
    ],
}


@dataclass(frozen=True)
class GitLabPlace:
    """A running stand-in, and ways to a source on it."""

    standin: Standin
    source: GitLabSource = field(repr=False)

    def connect(self, **changes: Any) -> GitLabSource:
        return build_source(changes.pop("url", self.standin.base_url), **changes)


def build_source(url: str, /, **changes: Any) -> GitLabSource:
    settings: dict[str, Any] = {"url": url, "project": 84, "token": "t-maint", "retry": quick_policy()}
    return GitLabSource(**(settings | changes))


@pytest.fixture
def gitlab() -> Iterator[GitLabPlace]:
    with Standin(parse_configuration({"format": "gitlab-standin/1"} | GITLAB)) as standin:
        yield GitLabPlace(standin=standin, source=build_source(standin.base_url))


@dataclass(frozen=True)
class LockPlace:
    """A backend and a unit in it that can be locked."""

    backend: StateLock
    unit: str


@pytest.fixture(params=[pytest.param("gitlab"), *S3_SERVERS])
def lock_place(request: pytest.FixtureRequest) -> LockPlace:
    if request.param == "gitlab":
        return LockPlace(backend=request.getfixturevalue("gitlab").source, unit="attic-dev")
    server = request.getfixturevalue("start_s3")(request.param)
    return LockPlace(backend=make_place(server).target, unit="acme/infra/attic-dev/terraform.tfstate")
