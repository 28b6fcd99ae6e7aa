"""One moto for the whole session; each test makes its own labs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.lab import Lab
from tests.support.s3_servers import S3Server, start_moto


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = start_moto()
    yield server
    server.stop()


@pytest.fixture
def make_lab(tmp_path: Path, moto: S3Server) -> Iterator[Callable[..., Lab]]:
    made: list[Lab] = []

    def make(server: S3Server = moto, **more: Any) -> Lab:
        made.append(Lab(tmp_path / f"lab{len(made)}", server, **more))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
