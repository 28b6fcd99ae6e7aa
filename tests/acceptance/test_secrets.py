"""No secret leaves its place. One word stands in every state document, the token and the keys of the target; a whole story is
told at the greatest verbosity, failures included, and then the word is searched for wherever it could have got to.
"""

import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.support.estate_lab import Lab, read_sample_states
from tests.support.programs import require_program
from tests.support.s3_servers import start_minio

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
        while not self._stop.wait(0.02):
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
    minio = start_minio(
        require_program("minio"), tmp_path / "minio" / "disk", access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )
    yield make_lab(minio, states=plant(read_sample_states()), token=TOKEN)
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


WRONG = {
    "token": {"GITLAB_TOKEN": f"{TOKEN}-wrong"},
    "access key": {"AWS_ACCESS_KEY_ID": f"{ACCESS_KEY}-wrong"},
    "secret key": {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}-wrong"},
    "token with a line break": {"GITLAB_TOKEN": f"{TOKEN}\n"},
    "secret key beyond ASCII": {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}é"},
}


class Teller:
    """Runs our commands, one time with and one time without ``--json``, and keeps everything that they say."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.said: list[str] = []
        self._flags = itertools.cycle([["-vvv"], ["-vvv", "--json"]])

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,), variables: dict[str, str] | None = None) -> None:
        done = self.lab.migrator(*next(self._flags), *arguments, expect=None, variables=variables)
        assert done.code in codes, f"{arguments} {variables}: {done.code}\n{done.text}"
        assert "Traceback" not in done.text, done.text
        self.said.append(done.text)

    def refuse(self, *arguments: str, codes: tuple[int, ...]) -> None:
        """Run it with each of the wrong credentials."""
        for variables in WRONG.values():
            self.run(*arguments, codes=codes, variables=variables)


def tell_the_story(teller: Teller) -> None:
    """Every command, with every failure that has to do with a credential, a document or a program that reads one."""
    lab = teller.lab
    teller.run("inventory")
    teller.refuse("probe", codes=(0, 2, 6))
    teller.refuse("plan", codes=(2, 6))
    teller.run("plan", "--diff")
    teller.refuse("migrate", "--yes", codes=(2, 6))
    teller.run("plan")
    variables = lab.repository / "stacks" / "attic" / "prod.tfvars"
    values = variables.read_bytes()
    variables.write_bytes(values + b"= broken\n")
    teller.run("migrate", "--yes", codes=(3, 5))
    variables.write_bytes(values)
    teller.run("status")
    teller.refuse("migrate", "--yes", codes=(2, 5, 6))
    teller.run("migrate", "--yes", "--until", "proven")
    teller.run("migrate", "--yes")
    teller.refuse("verify", codes=(2, 6))
    teller.refuse("rollback", "--yes", codes=(2, 5, 6))
    lab.s3.put_object(Bucket=lab.bucket, Key=lab.key("attic-dev"), Body=b'{"version": 4, "' + CANARY.encode())
    for _ in range(2):
        teller.run("verify", codes=(3,))
        teller.run("rollback", "--yes", codes=(3, 4))
        teller.run("status")
    lab.s3.put_object(Bucket=lab.bucket, Key=lab.key("attic-dev"), Body=lab.newest()["attic-dev"])
    for _ in range(2):
        teller.run("verify")
    teller.run("finalize", "--confirm", "nothing", codes=(2, 3, 4))
    teller.run("rollback", "--yes")
    teller.run("status")


def test_no_secret_is_found_anywhere(lab: Lab) -> None:
    teller = Teller(lab)
    with CommandLines() as lines:
        tell_the_story(teller)
    said = "".join(teller.said)
    assert lines.read > 1000
    assert "migrated" in said
    assert CANARY not in said, re.findall(rf".*{CANARY}.*", said)[:5]
    assert not lines.found
    home = lab.repository / ".migrator"
    # The blobs are where documents are kept: the word is there, so that this search finds what there is to be found.
    assert search(home / "runs")
    assert search(home, except_for=lambda path: path.parent.name == "blobs") == []
    assert search(lab.repository, except_for=lambda path: home in path.parents) == []
    for place in ("tmp", "home"):
        found = [path for path in (lab.directory / place).rglob("*") if path.is_file()]
        assert [path for path in found if CANARY.encode() in path.read_bytes()] == []
    modes = {path.stat().st_mode & 0o777 for path in home.rglob("*") if path.is_file()}
    assert modes <= {0o600}, modes
    check_mirror(lab)
    lab.check_untouched()


def check_mirror(lab: Lab) -> None:
    """The mirrored run holds documents where the run directory holds them, and nowhere else."""
    listed = [one["Key"] for one in lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=".migrator/")["Contents"]]
    bodies = {key: lab.s3.get_object(Bucket=lab.bucket, Key=key)["Body"].read() for key in listed}
    holding = {key for key, body in bodies.items() if CANARY.encode() in body or CANARY in key}
    assert any("/journal/" in key for key in listed)
    assert holding
    assert {key.split("/")[3] for key in holding} == {"blobs"}


def test_a_word_among_the_arguments_of_a_process_would_be_found() -> None:
    """The control: it is seen on the command line of a process that lives as long as our shortest command."""
    with CommandLines() as lines:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)", CANARY], check=True)
    assert any(CANARY.encode() in line for line in lines.found)
