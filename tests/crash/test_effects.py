"""The effect layer itself: nothing escapes it, and who is dead does nothing any more."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.crash.effects import Effects, Kill, Killed, Moment
from tests.crash.matrix import MIGRATE, ROLLBACK

CHANGES = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Audit:
    """What the interpreter itself reports: every change below a directory, and every connection, outside of an effect."""

    def __init__(self, effects):
        self.effects, self.escaped, self.seen, self.active = effects, [], 0, True
        self.root, self.ports = (
            str(effects.lab.repo),
            {int(url.rsplit(":", 1)[1]) for url in effects.addresses.values()},
        )
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if not self.active:
            return
        connects = event == "socket.connect" and arguments[1][1] in self.ports
        changes = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING)
        if connects or (changes and isinstance(arguments[0], str) and arguments[0].startswith(self.root)):
            self.seen += 1
            if not self.effects.is_inside and not self.is_harmless(event, arguments):
                self.escaped.append((event, arguments[0]))

    @staticmethod
    def is_harmless(event, arguments):
        """Opening a file that exists changes nothing; what is written to it is an effect of its own."""
        return event == "open" and not arguments[2] & os.O_TRUNC and Path(arguments[0]).exists()


@pytest.mark.parametrize("command", [MIGRATE, ROLLBACK, ("finalize", "--confirm")], ids=lambda command: command[0])
def test_no_effect_escapes_the_layer(lab, command):
    if command != MIGRATE:
        assert lab.run(*MIGRATE).code == 0
    effects = Effects(lab)
    audit = Audit(effects)
    with effects.installed():
        done = lab.run(*command, *([lab.bucket] if command[0] == "finalize" else []))
    audit.active = False
    assert done.code == 0, done.err
    assert audit.escaped == []
    assert audit.seen > 1


def write_durably(descriptor, data):
    os.write(descriptor, data)
    os.fsync(descriptor)


@pytest.mark.parametrize("moment", Moment)
def test_who_is_dead_does_nothing_any_more(lab, moment):
    file = lab.repo / "file"
    effects = Effects(lab, kill=Kill(3, moment))
    with effects.installed():
        descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"abcd")
        with pytest.raises(Killed):
            write_durably(descriptor, b"efgh")
        for cleanup in (file.unlink, lambda: os.write(descriptor, b"x"), (lab.repo / "d").mkdir):
            with pytest.raises(Killed):
                cleanup()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)  # the kernel closed it
    left = {Moment.BEFORE: b"abcd", Moment.TORN: b"abcdef", Moment.UNSEEN: b"abcdefgh", Moment.SEEN: b"abcdefgh"}
    assert file.read_bytes() == left[moment]
    assert effects.names[:3] == ["create file", "write file", "write file"]
    assert sorted(effects.writes) == [2, 3]


def test_whoever_is_seen_last_dies_at_the_end(lab):
    effects = Effects(lab, kill=Kill(1, Moment.SEEN))
    with effects.installed():
        (lab.repo / "d").mkdir()
        with pytest.raises(Killed):
            effects.end_of_command()


def test_every_thread_dies(lab):
    effects = Effects(lab, kill=Kill(5, Moment.UNSEEN))
    outcomes = []

    def work(number):
        try:
            for step in range(10):
                (lab.repo / f"{number}-{step}").mkdir()
        except Killed:
            outcomes.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    with effects.installed():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == [0, 1, 2, 3]
    assert len(effects.names) == 5
    assert len(list(lab.repo.glob("?-?"))) == 5


def test_other_places_and_servers_are_none_of_its_business(lab, tmp_path):
    effects = Effects(lab, kill=Kill(1, Moment.BEFORE))
    with effects.installed(), socket.socket() as listener:
        (tmp_path / "elsewhere").write_bytes(b"x")
        (tmp_path / "elsewhere").rename(tmp_path / "there")
        listener.bind(("127.0.0.1", 0))
    assert effects.names == []
