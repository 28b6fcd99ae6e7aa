"""The reader on damaged journals: what it believes is a true beginning of what was written, or it refuses. Never a third."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrator.errors import JournalError
from migrator.journal.fold import fold
from migrator.journal.log import Log, read_journal_bytes, read_log
from migrator.journal.record import GENESIS, Fact, Record, RecordKind, encode_record

NOW = "2026-01-02T03:04:05Z"
TEXT = st.text(max_size=6)
BODIES = st.dictionaries(TEXT, st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXT), max_size=2)
FACTS = st.builds(
    lambda kind, body, step, unit: Fact(kind=kind, body=body, step=step, unit=unit),
    st.sampled_from(RecordKind),
    BODIES,
    st.sampled_from(["", "lock_source", "publish"]),
    TEXT,
)
Damage = Callable[[bytes], bytes]


def write_journal(facts: Sequence[Fact]) -> tuple[list[Record], bytes]:
    records = [
        Record(number=number, at=NOW, kind=fact.kind, step=fact.step, unit=fact.unit, body=dict(fact.body))
        for number, fact in enumerate(facts, 1)
    ]
    lines, previous = [], GENESIS
    for record in records:
        line, previous = encode_record(record, previous)
        lines.append(line)
    return records, b"".join(lines)


@st.composite
def damages(draw: st.DrawFn, other: bytes) -> Damage:
    """One way to damage a journal; ``other`` is another whole journal, of which parts may get in."""
    kind = draw(st.sampled_from(["flip", "set", "cut", "remove", "repeat", "swap", "splice", "insert", "tail"]))
    first, second = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    some, bit = draw(st.binary(min_size=1, max_size=12)), draw(st.integers(0, 7))

    def damage(data: bytes) -> bytes:
        at = int(first * max(len(data) - 1, 0))
        lines = data.splitlines(keepends=True)
        i, j = (int(where * max(len(lines) - 1, 0)) for where in (first, second))
        match kind:
            case "flip":
                return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] if data else data
            case "set":
                return data[:at] + some + data[at + len(some) :]
            case "cut":
                return data[:at]
            case "insert":
                return data[:at] + some + data[at:]
            case "tail":
                return data + some
            case "remove":
                del lines[i : i + 1]
            case "repeat":
                lines[j:j] = lines[i : i + 1]
            case "swap" if lines:
                lines[i], lines[j] = lines[j], lines[i]
            case "splice":
                lines[i:i] = other.splitlines(keepends=True)[j:]
        return b"".join(lines)

    return damage


@st.composite
def damaged_journals(draw: st.DrawFn) -> tuple[list[list[Record]], bytes]:
    """Two journals that were written, and the first of them after some damage."""
    (written, data), (others, other) = (write_journal(draw(st.lists(FACTS, max_size=5))) for _ in range(2))
    for damage in draw(st.lists(damages(other), min_size=1, max_size=3)):
        data = damage(data)
    return [written, others], data


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "journal.jsonl"


def read(path: Path, data: bytes) -> list[Record] | None:
    """What is believed of ``data``; None where it is refused."""
    path.write_bytes(data)
    try:
        return list(read_log(path))
    except JournalError as error:
        refusal = error
    assert refusal.exit_code == 3
    assert str(refusal.where).startswith(f"{path}:")
    return None


@given(journal=damaged_journals())
def test_a_damaged_journal_is_refused_or_read_as_a_beginning_of_what_was_written(
    path: Path, journal: tuple[list[list[Record]], bytes]
) -> None:
    written, data = journal
    found = read(path, data)
    if found is None:
        return
    assert any(found == records[: len(found)] for records in written)
    # Nothing whole is dropped in silence: behind what was read there is no further line, only a torn one.
    _, whole = write_journal([Fact(kind=r.kind, body=r.body, step=r.step, unit=r.unit) for r in found])
    assert data.startswith(whole)
    assert b"\n" not in data[len(whole) :]
    assert any(fold(found) == fold(records[: len(found)]) for records in written)


@given(journal=damaged_journals(), more=FACTS)
def test_a_log_goes_on_from_what_was_read(path: Path, journal: tuple[list[list[Record]], bytes], more: Fact) -> None:
    found = read(path, journal[1])
    if found is None:
        with pytest.raises(JournalError):
            Log(path, lambda: NOW)
        assert path.read_bytes() == journal[1]  # evidence: left as it is
        return
    log = Log(path, lambda: NOW)
    (added,) = log.append_all([more])
    log.close()
    assert list(read_log(path)) == [*found, added]


@given(journal=damaged_journals())
def test_a_journal_from_elsewhere_must_be_whole(path: Path, journal: tuple[list[list[Record]], bytes]) -> None:
    _, data = journal
    found = read(path, data)
    whole = found is not None and data.count(b"\n") == len(found) and (not data or data.endswith(b"\n"))
    if whole:
        read_journal_bytes(data, where="there")
    else:
        with pytest.raises(JournalError):
            read_journal_bytes(data, where="there")


LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [b"{}", b"[]", b"null", b"1", b'""', b'{"hash":"x"}', b'{"number":1}', b"\xff\xfe", b"[" * 20_000]
        ),
        FACTS.map(lambda fact: write_journal([fact])[1].rstrip(b"\n")),
    ),
    max_size=4,
)


@given(lines=LINES, end=st.sampled_from([b"", b"\n", b"\r\n", b"\0"]))
@example(lines=[b'{"hash":1,"number":true,"at":[],"kind":{},"body":null}'], end=b"\n")
def test_any_bytes_are_refused_or_end_in_a_torn_line(path: Path, lines: list[bytes], end: bytes) -> None:
    data = b"\n".join(lines) + end
    found = read(path, data)
    if found is not None:
        assert len(found) == data.count(b"\n")


@given(facts=st.lists(FACTS, min_size=1, max_size=5), cut=st.floats(0, 1))
def test_every_beginning_is_read_as_far_as_it_is_whole(path: Path, facts: list[Fact], cut: float) -> None:
    """A machine that dies while it writes many records at once leaves some of them, whole and in order."""
    records, data = write_journal(facts)
    left = data[: int(cut * len(data))]
    assert read(path, left) == records[: left.count(b"\n")]
