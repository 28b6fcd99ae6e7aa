"""Real signals to real processes: a sample of what the matrix does in one process at every step.

The proxy sends the signal when the request arrives, and lets the request through: the command is in the middle of that step.
"""

import contextlib
import signal
import subprocess
from dataclasses import dataclass

import pytest

from tests.cli.lab import Lab
from tests.support.fault_proxy import Effect, Fault, FaultProxy

SECONDS = 120


@dataclass(frozen=True)
class Moment:
    """The request in the middle of which a signal comes."""

    command: str
    number: signal.Signals
    side: str
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.command}-{self.number.name}-{self.method}-{self.path.strip('$/.').rpartition('.')[2]}"


MOMENTS = (
    Moment("migrate", signal.SIGINT, "gitlab", "POST", "/lock$"),
    Moment("migrate", signal.SIGTERM, "store", "PUT", ".tfstate$"),
    Moment("migrate", signal.SIGTERM, "store", "GET", ".tflock$"),
    Moment("rollback", signal.SIGTERM, "store", "PUT", ".tflock$"),
    Moment("rollback", signal.SIGINT, "store", "DELETE", ".tfstate$"),
)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name)
def test_a_signal_in_the_middle_of_a_request_ends_after_the_step(tmp_path, moto, moment):
    lab = Lab(tmp_path, moto)
    try:
        with FaultProxy(lab.url) as gitlab, FaultProxy(moto.endpoint) as store:
            lab.write_settings((lab.url, gitlab.url), (moto.endpoint, store.url))
            lab.plan()
            before = lab.world()
            if moment.command == "rollback":
                assert lab.run("migrate", "--yes").code == 0
            children = []
            proxy = gitlab if moment.side == "gitlab" else store
            proxy.inject(
                Fault(
                    Effect.PASS,
                    method=moment.method,
                    path=moment.path,
                    act=lambda: children[0].send_signal(moment.number),
                )
            )
            children.append(lab.spawn(moment.command, "--yes"))
            _, err = children[0].communicate(timeout=SECONDS)
            assert children[0].returncode == 130, err
            assert "error: interrupted" in err
            assert "the journal is intact" in err
            assert f"next:  migrator {moment.command}" in err
            status = lab.run("status", "--json").document
            assert status["phase"] not in ("migrated", "rolled-back")
            assert status["next_command"].startswith(f"migrator {moment.command}")
            assert lab.run(moment.command, "--yes").code == 0
            assert lab.run("verify").code == 0
            if moment.command == "migrate":
                assert lab.run("rollback", "--yes").code == 0
            assert lab.world() == before
    finally:
        lab.close()


@pytest.mark.slow
def test_a_second_signal_ends_the_process_as_a_kill_does(tmp_path, moto):
    """What is under way in a thread may still take effect: nothing is given back, and nothing is said to be free."""
    lab = Lab(tmp_path, moto)
    children = []

    def interrupt_until_it_is_gone() -> None:
        for _ in range(SECONDS * 10):
            children[0].send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                children[0].wait(0.1)
                return

    try:
        with FaultProxy(moto.endpoint) as store:
            lab.write_settings((moto.endpoint, store.url))
            lab.plan()
            before = lab.world()
            store.inject(Fault(Effect.PASS, method="PUT", path=".tflock$", act=interrupt_until_it_is_gone))
            children.append(lab.spawn("migrate", "--yes"))
            _, err = children[0].communicate(timeout=SECONDS)
            assert children[0].returncode == 130
            assert err.endswith(
                "error: interrupted again: this command ended at once\n"
                "  now:   the journal is intact; what was under way may still take effect, and this run keeps its locks\n"
                "  next:  migrator status\n"
            )
            status = lab.run("status", "--json").document
            assert status["next_command"].startswith("migrator migrate")
            assert "in doubt" in {state["target_lock"] for state in status["states"]}
            assert lab.run("migrate", "--yes").code == 0
            assert lab.run("verify").code == 0
            assert lab.run("rollback", "--yes").code == 0
            assert lab.world() == before
    finally:
        lab.close()
