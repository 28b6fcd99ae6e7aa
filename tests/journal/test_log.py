"""The log: what was appended is read, what was damaged is never believed, and after a failed write nothing follows."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator.errors import JournalError, JournalWriteError
from migrator.journal.log import Log, read_log
from migrator.journal.record import GENESIS, Record, RecordKind, decode_record, encode_record

BODIES = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9) | st.lists(st.text(max_size=3)),
    max_size=3,
)
ENTRIES = st.lists(st.tuples(st.sampled_from(RecordKind), BODIES, st.text(max_size=6), st.text(max_size=6)), max_size=6)


def clock():
    return "2026-01-02T03:04:05Z"


def write_log(path: Path, count: int = 3) -> bytes:
    log = Log(path, clock)
    for number in range(count):
        log.append(
            RecordKind.INTENT, {"lock_id": f"id-{number}", "é": "\r\n"}, step="lock_source", unit=f"état-{number}"
        )
    log.close()
    return path.read_bytes()


@given(entries=ENTRIES, splits=st.integers(0, 6))
def test_what_was_appended_is_read_in_order_across_openings(tmp_path_factory, entries, splits):
    path = tmp_path_factory.mktemp("log") / "journal.jsonl"
    for part in (entries[:splits], entries[splits:]):
        log = Log(path, clock)
        for kind, body, step, unit in part:
            log.append(kind, body, step=step, unit=unit)
        assert tuple(log.records) == read_log(path)
        log.close()
    found = read_log(path)
    assert [(one.kind, dict(one.body), one.step, one.unit) for one in found] == entries
    assert [one.number for one in found] == list(range(1, len(entries) + 1))


@given(ENTRIES)
def test_a_line_is_what_its_record_encodes_to(entries):
    previous = GENESIS
    for number, (kind, body, step, unit) in enumerate(entries, 1):
        record = Record(number=number, at=clock(), kind=kind, step=step, unit=unit, body=body)
        line, digest = encode_record(record, previous)
        assert decode_record(line.removesuffix(b"\n"), previous, number) == (record, digest)
        with pytest.raises(JournalError):
            decode_record(line.removesuffix(b"\n"), digest, number)
        previous = digest


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "journal.jsonl"
    return write_log(path), read_log(path)


def read_bytes(path: Path, data: bytes):
    path.write_bytes(data)
    return read_log(path)


def test_every_single_bit_flip_is_noticed(tmp_path, whole):
    data, _ = whole
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(JournalError) as broken:
            read_bytes(tmp_path / "journal.jsonl", bytes(damaged))
        assert broken.value.where.startswith(str(tmp_path / "journal.jsonl:"))


def test_every_truncation_yields_the_whole_records_before_it(tmp_path, whole):
    data, records = whole
    for length in range(len(data)):
        found = read_bytes(tmp_path / "journal.jsonl", data[:length])
        assert found == records[: data[:length].count(b"\n")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_a_torn_tail_of_any_bytes_without_newline_is_dropped(tmp_path, whole, data):
    tail = data.replace(b"\n", b"")
    before, records = whole
    assert read_bytes(tmp_path / "journal.jsonl", before + tail) == records
    log = Log(tmp_path / "journal.jsonl", clock)
    log.append(RecordKind.RUN, {})
    log.close()
    assert read_log(tmp_path / "journal.jsonl")[:-1] == records


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused_and_never_crash(tmp_path, data):
    try:
        assert read_bytes(tmp_path / "journal.jsonl", data) == ()
    except JournalError:
        assert b"\n" in data


@pytest.mark.parametrize("damage", ["swapped", "removed", "repeated", "spaced", "nested"])
def test_lines_moved_lost_repeated_or_spelt_otherwise_are_noticed(tmp_path, whole, damage):
    lines = whole[0].splitlines(keepends=True)
    damaged = {
        "swapped": [lines[1], lines[0], lines[2]],
        "removed": [lines[0], lines[2]],
        "repeated": [*lines, lines[2]],
        "spaced": [lines[0].replace(b'":', b'": '), *lines[1:]],
        "nested": [b"[" * 50_000 + b"\n"],
    }[damage]
    with pytest.raises(JournalError):
        read_bytes(tmp_path / "journal.jsonl", b"".join(damaged))


def test_threads_share_one_log_and_one_sync_serves_many(tmp_path, monkeypatch):
    syncs, durable = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (syncs.append(1), durable(descriptor)))
    path = tmp_path / "journal.jsonl"
    log = Log(path, clock)
    barrier = threading.Barrier(8)
    seen: list[tuple[str, int]] = []

    def work(name: str) -> None:
        barrier.wait()
        for number in range(25):
            record = log.append(RecordKind.DONE, {"n": number}, step="s", unit=name)
            seen.append((name, record.number))
            assert record in read_log(path)

    threads = [threading.Thread(target=work, args=(f"t{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    records = read_log(path)
    assert len(records) == 200
    assert len(syncs) <= 200
    assert sorted((one.unit, one.number) for one in records) == sorted(seen)
    for name in {one.unit for one in records}:
        assert [one.body["n"] for one in records if one.unit == name] == list(range(25))


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
def test_the_log_is_private_from_its_creation(tmp_path, umask):
    modes: list[int] = []
    before = os.umask(umask)
    try:
        log = Log(tmp_path / "journal.jsonl", clock)
        modes.append(stat.S_IMODE((tmp_path / "journal.jsonl").stat().st_mode))
        log.close()
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_a_log_behind_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").touch()
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalWriteError):
        Log(tmp_path / "journal.jsonl", clock)


@pytest.mark.parametrize(("function", "code"), [("write", errno.ENOSPC), ("fdatasync", errno.EIO)])
def test_after_a_failed_write_or_sync_no_further_record_is_taken(tmp_path, monkeypatch, function, code):
    path = tmp_path / "journal.jsonl"
    log = Log(path, clock)
    log.append(RecordKind.RUN, {})

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(JournalWriteError, match=os.strerror(code)) as failed:
            log.append(RecordKind.INTENT, {}, step="s", unit="u")
    assert failed.value.exit_code == 5
    size = path.stat().st_size
    with pytest.raises(JournalWriteError, match="before"):
        log.append(RecordKind.INTENT, {}, step="s", unit="u")
    assert path.stat().st_size == size


def test_a_partial_write_leaves_a_torn_tail_that_the_next_opening_drops(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    log = Log(path, clock)
    log.append(RecordKind.RUN, {})
    write, calls = os.write, []

    def run_full(descriptor: int, data: memoryview) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", run_full)
        with pytest.raises(JournalWriteError):
            log.append(RecordKind.INTENT, {}, step="s", unit="u")
    log.close()
    again = Log(path, clock)
    assert [one.kind for one in again.records] == [RecordKind.RUN]
    again.append(RecordKind.ROLLBACK, {})
    again.close()
    assert [one.kind for one in read_log(path)] == [RecordKind.RUN, RecordKind.ROLLBACK]


def test_a_thread_that_waited_for_the_sync_that_failed_is_told(tmp_path, monkeypatch):
    """The kernel reports a lost page once: the sync after it succeeds and proves nothing."""
    log = Log(tmp_path / "journal.jsonl", clock)
    both_written, outcomes, syncs = threading.Event(), [], []

    def sync(_: int) -> None:
        syncs.append(1)
        if len(syncs) == 1:
            both_written.wait(10)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", sync)

    def append(name: str) -> None:
        try:
            log.append(RecordKind.INTENT, {}, step="s", unit=name)
            outcomes.append("durable")
        except JournalWriteError:
            outcomes.append("refused")

    first = threading.Thread(target=append, args=("first",))
    first.start()
    second = threading.Thread(target=append, args=("second",))
    second.start()
    while len(log.records) < 2:
        threading.Event().wait(0.01)
    both_written.set()
    first.join()
    second.join()
    assert outcomes == ["refused", "refused"]
