"""``migrator demo``: the story is whole, fast, readable, and leaves nothing behind."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.rehearsal.repositories import Runner

CHAPTERS = (
    "What is there", "Decide", "Move", "Check", "Somebody has an old checkout", "Work goes on", "Go back",
    "Compare with the beginning",
)  # fmt: skip
COMMANDS = (
    "migrator inventory", "migrator plan", "migrator migrate --yes", "migrator inventory --check", "migrator verify",
    "migrator rollback --yes",
)  # fmt: skip


@pytest.mark.acceptance
def test_the_demo_tells_the_whole_story_in_under_a_minute(migrator: Runner, tmp_path: Path) -> None:
    began = time.monotonic()
    done = migrator("demo", "--pause")
    assert time.monotonic() - began < 60
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^── \d+\. (.+?) ─", done.stdout, re.MULTILINE)
    assert tuple(found) == CHAPTERS
    typed = re.findall(r"^    \$ (migrator .+)$", done.stdout, re.MULTILINE)
    assert tuple(typed) == COMMANDS
    assert "14 proofs made, 0 left out, 0 failed" in done.stdout
    assert "Error: Error acquiring the state lock" in done.stdout
    assert "Apply complete! Resources: 1 added" in done.stdout
    assert "No changes." in done.stdout
    assert re.search(r"carried back: \S+, serial 1 -> 2", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b[" not in done.stdout
    assert "glpat-" not in done.stdout + done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_tofu_the_demo_says_what_it_left_out(migrator: Runner, without_tofu: str, tmp_path: Path) -> None:
    done = migrator("demo", "--json", "--keep", tmp_path / "kept", PATH=without_tofu, TOFU="")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["tofu"] is None
    left_out = {proof["name"] for proof in document["proofs"] if proof["outcome"] == "left-out"}
    assert left_out == {"proof-by-plan", "stale-checkout", "target-lock", "plan-at-source"}
    assert all(proof["outcome"] == "made" for proof in document["proofs"] if proof["name"] not in left_out)
    assert "── 1. What is there" in done.stderr
    assert document["kept"] == str(tmp_path / "kept")
    assert (tmp_path / "kept" / "infra" / "stacks" / "attic" / "backend.tf").is_file()


def test_quiet_gives_the_verdict_only(migrator: Runner, without_tofu: str) -> None:
    done = migrator("demo", "-q", PATH=without_tofu, TOFU="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "── 1." not in done.stdout
    assert "Everything came back, byte for byte" in done.stdout
