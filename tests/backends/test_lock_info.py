"""LockInfo on the wire: byte for byte what Go's encoder writes, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info

texts = st.text(st.characters(exclude_categories=["Cs"]))
infos = st.builds(LockInfo, id=texts, operation=texts, info=texts, who=texts, version=texts, created=texts, path=texts)


def test_keys_order_and_spacing_are_those_of_opentofu() -> None:
    info = LockInfo(
        id="b8a1",
        operation="OperationTypeApply",
        who="me@here",
        version="1.12.6",
        created="2026-01-02T03:04:05.6Z",
        path="b/team/x.tfstate",
    )
    assert encode_lock_info(info) == (
        b'{"ID":"b8a1","Operation":"OperationTypeApply","Info":"","Who":"me@here","Version":"1.12.6",'
        b'"Created":"2026-01-02T03:04:05.6Z","Path":"b/team/x.tfstate"}'
    )


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        # What `json.Marshal` of Go 1.26 printed for each.
        ("<a>&b", rb"\u003ca\u003e\u0026b"),
        ("\u2028\u2029", rb"\u2028\u2029"),
        ('"\\/', rb"\"\\/"),
        ("\b\f\n\r\t", rb"\b\f\n\r\t"),
        ("\x00\x1f", rb"\u0000\u001f"),
        ("\x7f", b"\x7f"),
        ("é€😀", "é€😀".encode()),
    ],
)
def test_strings_are_escaped_as_go_escapes_them(text: str, wire: bytes) -> None:
    assert encode_lock_info(LockInfo(id=text)).split(b'"ID":"', 1)[1].startswith(wire + b'","Operation"')


@given(infos)
def test_what_is_written_is_read_back(info: LockInfo) -> None:
    assert decode_lock_info(encode_lock_info(info)) == info


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"409",
        b"<html>",
        b"[]",
        b'"x"',
        b"{}",
        b'{"ID":7}',
        b'{"message":"409 Conflict: Resource lock"}',
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"ID":' * 100_000,
    ],
)
def test_what_is_not_a_lock_info_is_none(data: bytes) -> None:
    assert decode_lock_info(data) is None


def test_members_of_another_kind_are_left_out() -> None:
    assert decode_lock_info(b'{"ID":"x","Who":null,"Created":7,"Extra":{}}') == LockInfo(id="x")


def test_a_description_names_holder_time_and_id() -> None:
    info = LockInfo(id="x", who="me@here", created="2026-01-02T03:04:05Z", operation="OperationTypePlan")
    assert info.describe() == "me@here, since 2026-01-02T03:04:05Z, for OperationTypePlan, lock ID x"
    assert LockInfo(id="").describe() == "an unknown holder"
