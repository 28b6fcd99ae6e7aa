"""A process that is killed while it holds keys leaves no memory behind."""

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import OUR_CODE

ASK = "import ctypes, resource; print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"


def allow_dumps():
    """A shell in which `ulimit -c unlimited` was typed, as far as this machine lets it."""
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background jobs ignore it
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def limit_of(pid):
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[4:6] for line in lines if line.startswith("Max core file size"))


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT])
def test_a_process_that_dies_in_the_middle_of_a_request_dumps_no_core(lab, number):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        lab.write_settings((lab.server.endpoint, endpoint))
        child = lab.spawn("probe", preexec_fn=allow_dumps)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # the keys have signed a request
            assert limit_of(child.pid) == ["0", "0"]
            os.kill(child.pid, number)
            _, status = os.waitpid(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == -number, child.stderr.read()
    assert not os.WCOREDUMP(status)
    assert [path for path in lab.directory.rglob("*core*") if path.is_file()] == []
    child.stdout.close()
    child.stderr.close()


def test_neither_the_limit_nor_the_kernels_switch_lets_a_dump_through_and_children_keep_the_limit():
    code = (
        f"import subprocess, sys; from migrator.cli.memory_dumps import forbid_core_dumps; forbid_core_dumps(); {ASK}; "
        f"sys.stdout.flush(); subprocess.run([sys.executable, '-c', {ASK!r}], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **OUR_CODE},
        capture_output=True, text=True, check=True, preexec_fn=allow_dumps,
    )  # fmt: skip
    ours, childs = done.stdout.splitlines()
    assert ours == "(0, 0) 0"
    assert childs.startswith("(0, 0)")
