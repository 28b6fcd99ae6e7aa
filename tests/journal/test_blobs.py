"""Blobs: what is kept is private, whole, and proved by its name."""

import os
import stat
import threading
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import JournalError, JournalWriteError, RefusedError
from migrator.journal.blobs import BlobStore


@given(st.binary(max_size=300))
def test_what_is_kept_is_read_and_named_by_its_digest(tmp_path_factory, data):
    blobs = BlobStore(tmp_path_factory.mktemp("run") / "blobs")
    digest = blobs.write(data)
    assert digest == sha256(data).hexdigest()
    assert blobs.read(digest) == data
    assert blobs.write(data) == digest


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_blobs_are_private_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        digest = BlobStore(tmp_path / "blobs").write(b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "blobs" / digest).stat().st_mode) == 0o600


def test_a_file_is_private_before_its_first_byte_is_written(tmp_path, monkeypatch):
    modes, sync = [], os.fsync

    def look(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        sync(descriptor)

    open_file = os.open

    def open_and_look(path, flags, mode=0o777, **more):
        descriptor = open_file(path, flags, mode, **more)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "fsync", look)
    monkeypatch.setattr(os, "open", open_and_look)
    before = os.umask(0)
    try:
        BlobStore(tmp_path / "blobs").write(b"secret")
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600]


def test_a_missing_or_damaged_blob_is_never_given_out(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    digest = blobs.write(b"document")
    path = tmp_path / "blobs" / digest
    path.write_bytes(b"Document")
    assert not blobs.has(digest)
    with pytest.raises(JournalError, match="damaged") as damaged:
        blobs.read(digest)
    assert damaged.value.exit_code == 3
    assert blobs.write(b"document") == digest
    assert blobs.read(digest) == b"document"
    path.unlink()
    with pytest.raises(JournalError, match="cannot be read"):
        blobs.read(digest)


def test_a_full_disk_keeps_nothing_half(tmp_path, monkeypatch):
    blobs = BlobStore(tmp_path / "blobs")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    (tmp_path / "blobs").mkdir()
    with pytest.raises(JournalWriteError, match="No space left"):
        blobs.write(b"document")
    assert list((tmp_path / "blobs").iterdir()) == []


def test_threads_that_keep_the_same_bytes_agree(tmp_path):
    blobs, digests = BlobStore(tmp_path / "blobs"), []
    threads = [threading.Thread(target=lambda: digests.append(blobs.write(b"x" * 100_000))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(digests)) == 1
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [digests[0]]


def test_shredding_overwrites_before_it_removes(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    assert blobs.shred() == 0
    digest = blobs.write(b"secret")
    with (tmp_path / "blobs" / digest).open("rb") as witness:
        assert blobs.shred() == 1
        assert witness.read() == b"\0" * 6
    assert list((tmp_path / "blobs").iterdir()) == []


def test_shredding_never_overwrites_what_lies_elsewhere(tmp_path):
    """A hostile run directory has a link, or a second name, of a file that somebody still needs."""
    blobs, theirs = BlobStore(tmp_path / "blobs"), tmp_path / "theirs"
    theirs.write_bytes(b"needed")
    blobs.write(b"secret")
    (tmp_path / "blobs" / ("a" * 64)).symlink_to(theirs)
    (tmp_path / "blobs" / ("b" * 64)).hardlink_to(theirs)
    assert blobs.shred() == 3
    assert theirs.read_bytes() == b"needed"
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_directory_behind_a_link_is_neither_written_nor_shredded(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_bytes(b"needed")
    (tmp_path / "blobs").symlink_to(theirs)
    blobs = BlobStore(tmp_path / "blobs")
    with pytest.raises(RefusedError, match="symbolic link"):
        blobs.shred()
    with pytest.raises(JournalWriteError, match="symbolic link"):
        blobs.write(b"secret")
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == {"file": b"needed"}


def test_what_cannot_be_shredded_is_told(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    blobs.write(b"secret")
    (tmp_path / "blobs" / "directory").mkdir()
    with pytest.raises(JournalWriteError, match="cannot be removed"):
        blobs.shred()
