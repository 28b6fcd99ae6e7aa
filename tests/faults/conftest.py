"""One set of benches for the matrix: each is made when its first row needs it."""

from collections.abc import Iterator

import pytest

from tests.faults.matrix import Benches
from tests.support.s3_servers import S3Server, start_moto


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    """moto's buckets are the process's own: what is left of one would be found by the tests that come after these."""
    made = Benches()
    yield made
    made.close()


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    server = start_moto()
    yield server
    server.stop()
