"""No secret leaves its place. One word stands in every state document, the token and the keys of the target; a whole story is
told at the greatest verbosity, failures included, and then the word is searched for wherever it could have got to.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.acceptance.minio_process import MinioProcess
from tests.support.estate_lab import Lab, read_sample_states

CANARY = "kanarienvogel7f3a"
TOKEN = f"glpat-{CANARY}-token"
ACCESS_KEY = f"{CANARY}-access"
SECRET_KEY = f"{CANARY}-secret"


def plant(states: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Put the word into each document where plans stay empty: ids of resources, which nothing but the state knows."""
    planted = {}
    for name, versions in states.items():
        planted[name] = []
        for version in versions:
            ids = re.findall(rb'"id":\s*"([0-9a-f-]{36})"', version)
            assert ids, name
            for number, one in enumerate(sorted(set(ids))):
                version = version.replace(one, f"{CANARY}-id-{number}".encode())  # noqa: PLW2901
            json.loads(version)
            planted[name].append(version)
    return planted


class CommandLines:
    """Reads the arguments of every process of this machine, again and again."""

    def __init__(self) -> None:
        self.read = 0
        self.found: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:
                    continue
                self.read += 1
                if CANARY.encode() in line:
                    self.found.add(line)


@pytest.fixture
def lab(tmp_path: Path, make_lab: Callable[..., Lab]) -> Iterator[Lab]:
    minio = MinioProcess(tmp_path / "minio", access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    yield make_lab(minio.server, states=plant(read_sample_states()), token=TOKEN)
    minio.stop()


def search(directory: Path, *, except_for: Callable[[Path], bool] = lambda _: False) -> list[str]:
    """The files below a directory that hold the word or have it in their name."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    return [
        str(path.relative_to(directory))
        for path in files
        if not except_for(path) and (CANARY.encode() in path.read_bytes() or CANARY in path.name)
    ]


def tell_the_story(lab: Lab) -> Iterator[str]:
    """Everything that our program says, with every failure that has to do with a credential, a document or a reader."""
    wrong = {
        "token": {"GITLAB_TOKEN": f"{TOKEN}-wrong"},
        "access": {"AWS_ACCESS_KEY_ID": f"{ACCESS_KEY}-wrong"},
        "secret": {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}-wrong"},
        "line break": {"GITLAB_TOKEN": f"{TOKEN}\n"},
        "not ASCII": {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}é"},
    }

    def run(*arguments: str, codes: tuple[int, ...] = (0,), **more: object) -> str:
        said = ""
        for flags in (["-vvv"], ["-vvv", "--json"]):
            done = lab.migrator(*flags, *arguments, expect=None, **more)  # type: ignore[arg-type]
            assert done.code in codes, f"{arguments} {more}: {done.code}\n{done.text}"
            assert "Traceback" not in done.text, done.text
            said += done.text
        return said

    yield run("inventory")
    for name, variables in wrong.items():
        yield run("probe", codes=(0, 2, 6) if "token" in name or "line" in name else (2, 6), variables=variables)
        yield run("plan", codes=(2, 6), variables=variables)
    yield run("plan", "--diff")
    for variables in wrong.values():
        yield run("migrate", "--yes", codes=(2, 6), variables=variables)
    lab.migrator("plan")
    broken = lab.repository / "stacks" / "attic" / "prod.tfvars"
    values = broken.read_bytes()
    # The proof fails: once because a file cannot be read, and once because both sides would change a secret value.
    broken.write_bytes(values + b"= broken\n")
    yield run("migrate", "--yes", codes=(3, 5))
    broken.write_bytes(values)
    yield run("status")
    yield run("migrate", "--yes", "--until", "proven")
    for variables in wrong.values():
        yield run("migrate", "--yes", codes=(2, 5, 6), variables=variables)
    yield run("migrate", "--yes")
    for variables in wrong.values():
        yield run("verify", codes=(2, 6), variables=variables)
        yield run("rollback", "--yes", codes=(2, 5, 6), variables=variables)
    lab.s3.put_object(Bucket=lab.bucket, Key=lab.key("attic-dev"), Body=b'{"version": 4, "' + CANARY.encode())
    yield run("verify", codes=(3,))
    yield run("rollback", "--yes", codes=(3, 4))
    lab.s3.put_object(Bucket=lab.bucket, Key=lab.key("attic-dev"), Body=lab.newest()["attic-dev"])
    yield run("verify")
    yield run("rollback", "--yes")
    yield run("status")
    yield run("finalize", "--confirm", "nothing", codes=(2, 3, 4))


def test_no_secret_is_found_anywhere(lab: Lab) -> None:
    with CommandLines() as lines:
        said = "".join(tell_the_story(lab))
    assert lines.read > 1000
    assert "migrated" in said
    assert CANARY not in said, re.findall(rf".*{CANARY}.*", said)[:5]
    assert not lines.found
    home = lab.repository / ".migrator"
    assert len(lab.run_directories()) == 1
    # The blobs are where documents are kept: the word is there, so that this search finds what there is to be found.
    assert search(home / "runs")
    assert search(home, except_for=lambda path: path.parent.name == "blobs") == []
    assert search(lab.repository, except_for=lambda path: home in path.parents) == []
    for place in ("tmp", "home"):
        found = [path for path in (lab.directory / place).rglob("*") if path.is_file()]
        assert [path for path in found if CANARY.encode() in path.read_bytes()] == []
    modes = {path.stat().st_mode & 0o777 for path in home.rglob("*") if path.is_file()}
    assert modes <= {0o600}, modes
    lab.check_untouched()
