"""Servers for the whole session, each started when a test first asks for it; everything else belongs to one test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.estate_lab import Lab
from tests.support.programs import require_program
from tests.support.s3_servers import S3Server, start_minio, start_moto, start_rustfs

PROGRAMS = {"minio": start_minio, "rustfs": start_rustfs}
CLIENTS = {
    "tofu-1.12": ("tofu", "TOFU"),
    "tofu-1.10": ("tofu-1.10", "TOFU_1_10"),
    "terraform": ("terraform", "TERRAFORM"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture(scope="session")
def find_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    running: dict[str, S3Server] = {}

    def find(name: str) -> S3Server:
        if name not in running and name == "moto":
            running[name] = start_moto()
        elif name not in running:
            running[name] = PROGRAMS[name](require_program(name), tmp_path_factory.mktemp(name) / "disk")
        return running[name]

    yield find
    for server in running.values():
        server.stop()


@pytest.fixture(scope="session")
def minio(find_server: Callable[[str], S3Server]) -> S3Server:
    return find_server("minio")


@pytest.fixture(scope="session")
def moto(find_server: Callable[[str], S3Server]) -> S3Server:
    return find_server("moto")


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Make a lab; it ends with the test. ``client`` is a name of ``CLIENTS``."""
    made: list[Lab] = []

    def make(server: S3Server, client: str = "tofu-1.12", **more: Any) -> Lab:
        name, variable = CLIENTS[client]
        directory = tmp_path / f"lab{len(made)}"
        made.append(Lab(directory, server=server, client=require_program(name, variable=variable), **more))
        return made[-1]

    yield make
    for lab in made:
        lab.gitlab.stop()
