"""On a terminal, and with a reader that goes away: a pseudo-terminal and real pipes, with the program as a child."""

import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from migrator.plan.codec import decode_plan, encode_plan
from tests.support.programs import OUR_CODE

SECONDS = 60


class Terminal:
    """The program on a terminal of its own; ``text`` is everything that it has shown."""

    def __init__(self, lab, *arguments, columns=100):
        self.text = ""
        self._master, slave = pty.openpty()
        environment = {**lab.environment, **OUR_CODE, "TERM": "xterm", "COLUMNS": str(columns)}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "migrator", *arguments],
            cwd=lab.repo, env=environment, stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)

    def wait_for(self, text):
        end = time.monotonic() + SECONDS
        while text not in self.text:
            assert time.monotonic() < end, self.text
            if not self._read():
                raise AssertionError(f"it ended before it said {text!r}:\n{self.text}")

    def type(self, text):
        os.write(self._master, text.encode())

    def end(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self._read():
            pass
        if self.process.poll() is None and time.monotonic() >= end:
            self.process.kill()
        os.close(self._master)
        return self.process.wait(SECONDS)

    def _read(self):
        """Read what is there; False when the terminal is closed."""
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


def test_a_terminal_is_asked_and_yes_goes_on(lab):
    lab.plan()
    terminal = Terminal(lab, "migrate")
    terminal.wait_for(f"Move 2 states to s3://{lab.bucket} and change 3 files? [y/N]")
    assert lab.runs() == []
    terminal.type("y\n")
    assert terminal.end() == 0
    assert "migrated: 2 states" in terminal.text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert set(lab.objects()) == {f"acme/infra/{name}/terraform.tfstate" for name in ("alpha-dev", "beta-dev")}


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04", "\x03"])
def test_any_other_answer_touches_nothing(lab, answer):
    lab.plan()
    before = lab.world()
    terminal = Terminal(lab, "migrate")
    terminal.wait_for("[y/N]")
    terminal.type(answer)
    assert terminal.end() == 2
    assert "not confirmed" in terminal.text
    assert "now:   nothing was touched" in terminal.text
    assert "or: migrator migrate --yes" in terminal.text
    assert lab.world() == before
    assert lab.runs() == []


def test_a_question_obeys_nothing_that_a_plan_says(lab):
    lab.plan()
    path = lab.repo / ".migrator" / "plan.json"
    plan = decode_plan(path.read_bytes(), where="")
    path.write_bytes(encode_plan(replace(plan, target=replace(plan.target, bucket="b\x1b[2J\nMove nothing? [y/N]: "))))
    terminal = Terminal(lab, "migrate")
    terminal.wait_for("3 files? [y/N]")
    terminal.type("n\n")
    assert terminal.end() == 2
    assert "\x1b[2J" not in terminal.text
    assert "\nMove nothing" not in terminal.text


def test_rollback_asks_too(lab):
    lab.migrate()
    before = lab.world()
    terminal = Terminal(lab, "rollback")
    terminal.wait_for("2 states back to GitLab, 3 files restored? [y/N]")
    terminal.type("n\n")
    assert terminal.end() == 2
    assert lab.world() == before


def test_an_error_is_coloured_on_a_terminal_only_where_colour_is_wanted(lab):
    coloured = Terminal(lab, "status")
    assert coloured.end() == 2
    assert "\x1b[1;31merror: there is no run yet\x1b[0m" in coloured.text
    plain = Terminal(lab, "status", "--no-color")
    assert plain.end() == 2
    assert "\x1b" not in plain.text


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_nothing_is_wider_than_the_terminal(lab, columns):
    terminal = Terminal(lab, "plan", "--no-color", columns=columns)
    assert terminal.end() == 0
    assert max(len(line) for line in terminal.text.split("written to")[0].splitlines()[2:]) <= columns


@pytest.mark.parametrize(
    "arguments", [["plan", "--diff"], ["plan", "--json"], ["inventory"], ["--help"], ["plan", "--help"]]
)
def test_a_reader_that_goes_away_is_no_error(lab, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    child = lab.spawn(*arguments, stdout=writing)
    os.close(writing)
    _, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, err) == (0, "")


def test_head_gets_its_lines(lab):
    child = lab.spawn("inventory", "-v")
    head = subprocess.run(["head", "-2"], stdin=child.stdout, capture_output=True, text=True, check=True)
    child.stdout.close()
    assert "Stacks (2)" in head.stdout
    assert (child.wait(SECONDS), child.stderr.read()) == (0, "")
    child.stderr.close()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["inventory"], 0), (["nosuch"], 2)])
def test_streams_that_the_caller_closed_change_no_exit_code(lab, arguments, code, closed):
    done = lab.spawn_and_wait(*arguments, wrapper=["sh", "-c", f'exec "$@" {closed}', "sh"])
    assert (done.code, "Traceback" in done.err) == (code, False)


def test_a_migration_without_streams_is_carried_out(lab):
    lab.plan()
    done = lab.spawn_and_wait("migrate", "--yes", wrapper=["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh"])
    assert done.code == 0
    assert lab.run("verify").code == 0
