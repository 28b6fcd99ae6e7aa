"""Whatever the umask: no file that a command makes below ``.migrator`` is ever readable for anybody else, not for a moment."""

import os
import stat
import sys

from tests.cli.lab import BINDINGS, document

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """Looks at the mode of everything below a directory in the moment in which it is made.

    What is opened for writing in any other way than ``os.open``, which states its mode, would escape it: the interpreter's
    own audit reports every such call, and it is counted as a failure.
    """

    def __init__(self, root, monkeypatch):
        self.root, self.seen, self.open_to_others, self.escaped, self.active = str(root), [], [], [], True
        self._depth = 0
        monkeypatch.setattr(os, "open", self._look_after(os.open))
        monkeypatch.setattr(os, "mkdir", self._look_after(os.mkdir))
        monkeypatch.setattr(os, "rename", self._look_after(os.rename))
        sys.addaudithook(self._audit)

    def _look_after(self, real):
        def call(path, *arguments, **more):
            self._depth += 1
            try:
                result = real(path, *arguments, **more)
            finally:
                self._depth -= 1
            made = arguments[0] if real.__name__ == "rename" else path
            if self.active and str(made).startswith(self.root) and os.path.lexists(made):
                self.seen.append(str(made))
                if stat.S_IMODE(os.lstat(made).st_mode) & 0o077:
                    self.open_to_others.append((real.__name__, str(made)))
            return result

        return call

    def _audit(self, event, arguments):
        if self.active and not self._depth and event == "open" and str(arguments[0]).startswith(self.root):
            mode, flags = arguments[1], arguments[2]
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITING):
                self.escaped.append(str(arguments[0]))


def test_nothing_below_the_home_is_ever_open_to_others(make_lab, monkeypatch):
    lab = make_lab(bindings=BINDINGS)
    watch = Watch(lab.repo / ".migrator", monkeypatch)
    before = os.umask(0)
    try:
        lab.plan()
        assert lab.run("migrate", "--yes", "--until", "checked").code == 0
        assert lab.run("migrate", "--yes").code == 0
        lab.put("acme/infra/alpha-dev/terraform.tfstate", document(2))
        assert lab.run("rollback", "--yes").code == 0
        lab.plan()
        assert lab.run("migrate", "--yes").code == 0, "a second run"
        assert lab.run("finalize", "--confirm", lab.bucket, "--shred-blobs").code == 0
    finally:
        os.umask(before)
        watch.active = False
    assert watch.open_to_others == []
    assert watch.escaped == []
    for part in ("plan.json", "journal.jsonl", "lock", ".migrator-tmp", "blobs", "runs", ".gitignore"):
        assert any(part in path for path in watch.seen), part


def test_the_watch_sees_what_is_open_to_others(tmp_path, monkeypatch):
    watch = Watch(tmp_path, monkeypatch)
    before = os.umask(0)
    try:
        (tmp_path / "directory").mkdir()
        os.close(os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY, 0o644))
        (tmp_path / "other").write_text("")
    finally:
        os.umask(before)
        watch.active = False
    assert [name for name, _ in watch.open_to_others] == ["mkdir", "open"]
    assert watch.escaped == [str(tmp_path / "other")]
