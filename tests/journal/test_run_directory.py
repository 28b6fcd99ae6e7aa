"""``.migrator``: private from creation, never behind a link, and held by one process at a time."""

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from migrator.errors import ConfigurationError, RefusedError, UsageError
from migrator.journal.home import Home
from migrator.journal.record import RecordKind

TOP = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_everything_is_private_from_creation(tmp_path, umask):
    before = os.umask(umask)
    try:
        home = Home(tmp_path)
        run = home.create_run("run-1", b"{}")
        run.blobs.write(b"secret")
        log = run.open_log(lambda: "t")
        log.append(RecordKind.RUN, {"run": "run-1"})
        log.close()
        with home.locked():
            pass
    finally:
        os.umask(before)
    found = [home.path, *home.path.rglob("*")]
    assert len(found) == 9
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (home.path / ".gitignore").read_bytes() == b"*\n"


def test_looking_creates_nothing(tmp_path):
    home = Home(tmp_path)
    assert home.runs() == []
    with pytest.raises(UsageError) as absent:
        home.find_run(None)
    assert (absent.value.exit_code, absent.value.hint) == (2, "migrator plan")
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_making_was_cut_short_is_none(tmp_path):
    home = Home(tmp_path)
    (home.create_run("run-1", b"{}").path / "plan.json").rename(tmp_path / "elsewhere")
    assert home.runs() == []
    whole = home.create_run("run-2", b"{}")
    (home.path / "runs" / "run-3").mkdir()
    assert home.find_run(None) == whole


def test_a_run_from_elsewhere_is_one_when_it_is_whole(tmp_path):
    home = Home(tmp_path)
    for killed in (True, False):
        with contextlib.suppress(KeyboardInterrupt), home.receive_run("run-1", b"{}") as incoming:
            incoming.blobs.write(b"document")
            incoming.write_journal(b"")
            assert home.runs() == []
            if killed:
                raise KeyboardInterrupt
    (run,) = home.runs()
    assert (run.run_id, run.read_plan_bytes(), len(run.blobs.sizes())) == ("run-1", b"{}", 1)
    assert [path.name for path in run.path.parent.iterdir()] == ["run-1"]


@pytest.mark.parametrize("link", [".migrator", ".migrator/runs", ".migrator/lock"])
def test_a_link_planted_in_the_repository_is_not_followed(tmp_path, link):
    repository, outside = tmp_path / "repository", tmp_path / "outside"
    repository.mkdir()
    outside.mkdir()
    (repository / link).parent.mkdir(exist_ok=True)
    (repository / link).symlink_to(outside / "lock" if link.endswith("lock") else outside)
    home = Home(repository)
    with pytest.raises(ConfigurationError) as refused, home.locked():
        home.create_run("run-1", b"{}")
    assert refused.value.exit_code == 2
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("entry", ["", "plan.json", "journal.jsonl", "lock", "blobs", "scratch", "holder"])
def test_a_link_planted_in_a_run_is_not_followed(tmp_path, entry):
    home = Home(tmp_path)
    run = home.create_run("run-1", b"{}")
    outside = tmp_path / "outside"
    path = run.path / entry if entry else run.path
    if path.exists():
        path.rename(outside)
    path.symlink_to(outside)
    for find in (home.runs, lambda: home.find_run(None), lambda: home.find_run("run-1")):
        with pytest.raises(ConfigurationError, match=f"{entry or 'run-1'} is a symbolic link"):
            find()
    if entry:
        (run.path / "journal.jsonl").touch()
        with pytest.raises(ConfigurationError, match="is a symbolic link"):
            home.find_run(str(run.path))


def test_a_lock_that_is_another_files_second_name_is_not_emptied(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"needed")
    home = Home(tmp_path)
    home.prepare()
    (home.path / "lock").hardlink_to(theirs)
    with pytest.raises(ConfigurationError, match="second name"), home.locked():
        pass
    assert theirs.read_bytes() == b"needed"


HOLD = """
import sys
from pathlib import Path
from pathlib import Path
from migrator.journal.home import Home
with Home(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_holds_the_repository(tmp_path):
    home = Home(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RefusedError) as refused, home.locked():
            pytest.fail("two processes hold one repository")
        assert refused.value.exit_code == 4
        assert str(child.pid) in refused.value.message
        child.kill()
        child.wait()
        with home.locked():
            pass
    finally:
        child.kill()
        child.communicate()


def test_a_run_is_found_by_id_beginning_directory_or_as_the_latest(tmp_path):
    home = Home(tmp_path)
    first, second = home.create_run("20260101-aa", b"1"), home.create_run("20260102-bb", b"2")
    log = first.open_log(lambda: "t")
    log.append(RecordKind.RUN, {"run": first.run_id, "plan": "d"})
    log.close()
    assert home.runs() == [first, second]
    assert home.find_run(None) == second
    assert home.find_run("20260101-aa") == home.find_run("20260101") == first
    assert home.find_run(str(first.path)).run_id == first.run_id
    with pytest.raises(UsageError, match="2 runs begin with 2026"):
        home.find_run("2026")
    assert (first.read_plan_bytes(), second.read_plan_bytes()) == (b"1", b"2")
    assert (first.read_view().run_id, first.read_view().plan_digest) == ("20260101-aa", "d")
    assert second.read_view().run_id == ""


def test_a_run_without_a_plan_says_so(tmp_path):
    run = Home(tmp_path).create_run("run-1", b"{}")
    (run.path / "plan.json").unlink()
    with pytest.raises(ConfigurationError, match="no plan"):
        run.read_plan_bytes()
