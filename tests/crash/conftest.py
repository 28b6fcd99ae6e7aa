"""One moto for the session; each test makes its own labs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.lab import CrashLab
from tests.support.s3_servers import S3Server, start_moto


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = start_moto()
    yield server
    server.stop()


@pytest.fixture
def make_lab(tmp_path: Path, moto: S3Server) -> Iterator[Callable[..., CrashLab]]:
    """Make labs with a plan."""
    made: list[CrashLab] = []

    def make(*arguments: Any, **more: Any) -> CrashLab:
        made.append(CrashLab(tmp_path / f"lab{len(made)}", moto, *arguments, **more))
        made[-1].plan()
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def lab(make_lab: Callable[..., CrashLab]) -> CrashLab:
    return make_lab()
