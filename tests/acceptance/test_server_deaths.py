"""The S3 server killed by SIGKILL in mid-run, at a request, and started again on its disk: MinIO and RustFS.

The command stops with 5 or gets by; status is right, nothing that the journal calls done is lost, and the same command comes to
the end that it comes to when nothing dies.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.gate import DroppedError, Moment, Trap
from tests.support.programs import require_program, wants_rustfs
from tests.support.s3_servers import MortalServer, start_minio, start_rustfs
from tests.support.stages import MIGRATE, ROLLBACK, Stages, build_stages, check_end, check_status

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


def see_nothing(moment: str) -> None:
    """Nobody can see what is true at a dead server."""


def test_a_server_that_is_dead(mortal: Mortal) -> None:
    """Nothing is touched, and status still knows what is true; when it is back, so is everything that was there."""
    lab = mortal.stages.lab
    end = mortal.stages.find_ends("migrated", *ROLLBACK).on
    watcher = mortal.stages.rewind("migrated")
    mortal.server.kill()
    lab.gate.judge = see_nothing
    lab.migrator("verify", expect=6)
    refused = lab.migrator(*ROLLBACK, expect=6)
    assert "migrator rollback --without-target" in refused.err
    assert lab.migrator("status", "--json").document()["phase"] == "migrated"
    mortal.server.start()
    lab.gate.judge = watcher.check
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
        lab.gate.judge = see_nothing
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
