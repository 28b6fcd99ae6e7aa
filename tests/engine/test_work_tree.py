"""Files of a hostile or unwritable repository."""

import os
import stat

import pytest

from migrator.engine.work_tree import LocalWorkTree
from migrator.errors import RefusedError


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "repository"
    (root / "stacks").mkdir(parents=True)
    (root / "stacks/a.tf").write_bytes(b"a\r\n")
    return LocalWorkTree(root)


@pytest.fixture
def root(tree, tmp_path):
    return tmp_path / "repository"


@pytest.mark.parametrize(
    "path",
    [
        "../outside", "/etc/hostname", "stacks/../../outside", "", ".", "a/./b", "a//b", "a\0b",
        ".git/hooks/post-checkout", "a/.git/config", ".GIT/config", ".g\u200cit/config", ".git./config", ".git /config",
        ".migrator/plan.json", ".terraform/terraform.tfstate",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["read", "remove", "check_writable", "sweep"])
def test_a_path_that_leads_out_is_refused(tree, path, method):
    with pytest.raises(RefusedError) as refused:
        getattr(tree, method)(path)
    assert refused.value.exit_code == 4


def test_links_are_not_followed(tree, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (root / "link").symlink_to(outside / "file")
    (root / "dangling").symlink_to(outside / "absent")
    (root / "directory").symlink_to(outside)
    for path in ("link", "dangling", "directory/file", "directory/new"):
        with pytest.raises(RefusedError, match="symbolic link"):
            tree.replace(path, b"ours")
        with pytest.raises(RefusedError, match="symbolic link"):
            tree.read(path)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": b"theirs"}


def test_what_is_no_regular_file_is_refused(tree, root):
    os.mkfifo(root / "pipe")
    for path in ("pipe", "stacks"):
        with pytest.raises(RefusedError, match="not a regular file"):
            tree.read(path)


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o444])
def test_the_mode_is_kept_and_the_umask_does_not_matter(tree, root, mode):
    (root / "stacks/a.tf").chmod(mode)
    before = os.umask(0o077)
    try:
        tree.replace("stacks/a.tf", b"b")
        tree.replace("stacks/new.tf", b"c")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "stacks/a.tf").stat().st_mode) == mode
    assert stat.S_IMODE((root / "stacks/new.tf").stat().st_mode) == 0o644
    assert (tree.read("stacks/a.tf"), tree.read("stacks/new.tf"), tree.read("stacks/none")) == (b"b", b"c", None)


def test_the_owner_is_kept_where_that_is_allowed_and_no_error_where_it_is_not(tree, root, monkeypatch):
    asked = []

    def refuse(path, user, group):
        asked.append((user, group))
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    tree.replace("stacks/a.tf", b"b")
    owner = (root / "stacks/a.tf").stat()
    assert asked == [(owner.st_uid, owner.st_gid)]
    assert tree.read("stacks/a.tf") == b"b"


def test_a_reader_sees_one_image_or_the_other_and_nothing_is_left(tree, root, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RefusedError, match="No space left"):
        tree.replace("stacks/a.tf", b"b" * 100)
    assert [path.name for path in (root / "stacks").iterdir()] == ["a.tf"]
    assert (root / "stacks/a.tf").read_bytes() == b"a\r\n"


def test_a_read_only_directory_is_found_before_it_is_needed(tree, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RefusedError, match="read-only") as refused:
        tree.check_writable("stacks/a.tf")
    assert refused.value.now == "nothing was touched"


def test_removing_twice_is_fine(tree):
    tree.remove("stacks/a.tf")
    tree.remove("stacks/a.tf")
    assert tree.read("stacks/a.tf") is None
