"""What counts as a state document, and what it may cost to read one."""

import json
import subprocess
import sys
from hashlib import md5, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import InvalidStateError
from migrator.state.snapshot import read_snapshot

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
RESOURCES = st.lists(
    st.fixed_dictionaries(
        {"type": st.text(), "instances": st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=2), max_size=3)}
    ),
    max_size=4,
)
DOCUMENTS = st.fixed_dictionaries(
    {"serial": st.integers(0, 2**63 - 1), "version": st.integers(1, 4), "lineage": st.text(), "resources": RESOURCES},
    optional={"terraform_version": st.text(), "outputs": JSON_VALUES, "check_results": JSON_VALUES, "own": JSON_VALUES},
)


def encode(**changes: object) -> bytes:
    document = {"version": 4, "serial": 7, "lineage": "l-1", "resources": []} | changes
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


@given(DOCUMENTS, st.sampled_from([None, 1, 4]), st.booleans())
def test_everything_is_read_from_any_spelling_of_a_document(document, indent, ascii_only):
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    snapshot = read_snapshot(data)
    assert snapshot.data is data
    assert (snapshot.serial, snapshot.lineage, snapshot.version) == (
        document["serial"],
        document["lineage"],
        document["version"],
    )
    assert snapshot.resource_count == sum(len(resource["instances"]) for resource in document["resources"])
    assert (snapshot.sha256, snapshot.md5) == (sha256(data).hexdigest(), md5(data, usedforsecurity=False).hexdigest())
    assert (snapshot.size, snapshot.encrypted) == (len(data), False)


@given(st.binary(max_size=200) | st.text().map(str.encode) | JSON_VALUES.map(json.dumps).map(str.encode))
def test_any_other_bytes_are_refused_and_never_quoted(data):
    with pytest.raises(InvalidStateError) as refused:
        read_snapshot(data)
    assert refused.value.exit_code == 3
    assert refused.value.__suppress_context__


@given(st.data())
def test_a_truncated_document_is_refused(data):
    whole = encode(outputs={"password": {"value": "canary"}})
    with pytest.raises(InvalidStateError) as refused:
        read_snapshot(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"serial": ...}, "numeric serial"),
        ({"serial": -1}, "negative"),
        ({"serial": 2**64}, "beyond 64 bits"),
        ({"serial": 1.5}, "numeric serial"),
        ({"serial": "7"}, "numeric serial"),
        ({"serial": True}, "numeric serial"),
        ({"serial": None}, "numeric serial"),
        ({"lineage": 1}, "numeric serial"),
        ({"version": ...}, "no state format version"),
        ({"version": 0}, "no state format version"),
        ({"version": 5}, "version 5 is newer"),
        ({"version": 5, "encryption_version": "v0"}, "version 5 is newer"),
        ({"resources": {}}, "numeric serial"),
    ],
)
def test_what_opentofu_would_not_accept_is_refused(changes, says):
    with pytest.raises(InvalidStateError, match=says):
        read_snapshot(encode(**changes))


@pytest.mark.parametrize("serial", [2**31, 2**63 - 1, 2**64 - 1])
def test_a_huge_serial_is_kept_exactly(serial):
    assert read_snapshot(encode(serial=serial)).serial == serial


def test_null_is_the_zero_value_as_in_go():
    snapshot = read_snapshot(encode(lineage=None, resources=None))
    assert (snapshot.lineage, snapshot.resource_count) == ("", 0)
    assert read_snapshot(encode(resources=[{"instances": None}])).resource_count == 0


def test_lineage_may_be_empty_or_absent():
    assert read_snapshot(encode(lineage="")).lineage == ""
    assert read_snapshot(encode(lineage=...)).lineage == ""


def test_an_encrypted_envelope_shows_serial_and_lineage_only():
    data = encode(version=..., resources=..., encryption_version="v0", meta={"key": "..."}, encrypted_data="eHg=")
    snapshot = read_snapshot(data)
    assert (snapshot.serial, snapshot.lineage, snapshot.encrypted) == (7, "l-1", True)
    assert (snapshot.version, snapshot.resource_count) == (None, None)


def test_a_byte_order_mark_is_refused_as_opentofu_does():
    with pytest.raises(InvalidStateError):
        read_snapshot(b"\xef\xbb\xbf" + encode())


def test_of_duplicate_members_the_last_one_counts_as_in_go():
    assert read_snapshot(b'{"version":4,"serial":1,"serial":9,"lineage":"a","lineage":"b"}').serial == 9


def test_deep_nesting_is_refused_or_read_but_never_kills():
    deep = b'{"version":4,"serial":1,"outputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    try:
        assert read_snapshot(deep).serial == 1
    except InvalidStateError:
        return


def test_repr_shows_no_byte_of_the_document():
    assert "canary" not in repr(read_snapshot(encode(outputs={"password": "canary"})))


# VmHWM, not getrusage: the latter keeps the peak of the process that forked this one.
MEASURE = """
from migrator.state.snapshot import read_snapshot
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
read_snapshot(b'{"version":4,"serial":1}')
instance = b'{"schema_version":0,"attributes":{"secret":"' + b"x" * 400 + b'"}}'
resources = b",".join([b'{"type":"t","name":"n","instances":[' + instance + b"]}"] * 110_000)
before = peak()
data = b'{"version":4,"serial":7,"lineage":"l","resources":[' + resources + b"]}"
snapshot = read_snapshot(data)
after = peak()
assert snapshot.resource_count == 110_000 and snapshot.serial == 7
print(len(data), after - before, after)
"""


def test_a_document_of_50_mb_costs_less_than_four_times_its_size():
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    size, grown, peak = map(int, result.stdout.split())
    assert size > 50_000_000
    assert grown < 2 * size  # the pieces that it was joined from stand in the figure of before
    assert peak < 4 * size
