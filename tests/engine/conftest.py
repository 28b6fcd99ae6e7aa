"""Worlds for the engine's tests: see ``tests.support.world``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.backends.s3 import S3Target
from tests.support.s3_servers import S3Server
from tests.support.world import World, WorldMaker, build_target, open_worlds, start_bucket


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    server = start_bucket()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def target(moto: S3Server) -> S3Target:
    return build_target(moto)


@pytest.fixture
def make_world(tmp_path: Path, moto: S3Server) -> Iterator[WorldMaker]:
    with open_worlds(tmp_path, moto) as maker:
        yield maker


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    return make_world()
