"""The plan file: what is read is what was written, and one changed byte is another plan, or none."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator.errors import ConfigurationError, MigratorError, StalePlanError
from migrator.inventory.model import Place
from migrator.plan.codec import decode_plan, digest_of_plan, encode_plan
from migrator.plan.model import FORMAT, PlannedEdit, PlannedFile
from tests.plan.conftest import BACKEND, Case, reference, stack


def build(text: str = "s3"):
    case = Case()
    case.stacks = (*case.stacks, stack("z"))
    case.references = [reference("common/backend.tf", ("attic", "z"))]
    case.texts = {"common/backend.tf": BACKEND}
    edit = PlannedEdit(start=0, end=4, text=text, kind="k", place=Place(path="é", start_line=1, end_line=2))
    file = PlannedFile(path="é", pre_sha256=None, post_sha256="d" * 64, edits=(edit,), stacks=("attic",))
    return replace(case.plan(), files=(file,))


PLAN = build()
DATA = encode_plan(PLAN)


@given(st.text(max_size=30))
def test_what_is_read_is_what_was_written(text):
    plan = build(text)
    data = encode_plan(plan)
    assert decode_plan(data, where="plan.json") == plan
    assert encode_plan(decode_plan(data, where="plan.json")) == data


def test_the_file_names_its_format_and_digest_and_reads_well():
    document = json.loads(DATA)
    assert (document["format"], document["digest"]) == (FORMAT, digest_of_plan(PLAN))
    assert DATA.endswith(b"}\n")
    assert DATA.count(b"\n") > 50


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=400)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_every_changed_byte_is_refused(position, difference):
    data = bytearray(DATA)
    data[position] ^= difference
    refuse(bytes(data))


@given(st.integers(0, len(DATA) - 1))
def test_every_truncation_is_refused(length):
    refuse(DATA[:length])


@given(st.integers(0, len(DATA)), st.sampled_from([b" ", b"\n", b"0", b'"', b",", b"\xff"]))
def test_every_inserted_byte_is_refused(position, byte):
    refuse(DATA[:position] + byte + DATA[position:])


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data):
    refuse(data)


def refuse(data: bytes) -> None:
    with pytest.raises(MigratorError) as refused:
        decode_plan(data, where="plan.json")
    assert isinstance(refused.value, ConfigurationError | StalePlanError)
    assert (refused.value.where, refused.value.hint) == ("plan.json", "migrator plan")


def test_a_value_that_was_changed_together_with_nothing_else_is_stale():
    with pytest.raises(StalePlanError, match="was changed after it was made") as stale:
        decode_plan(DATA.replace(b'"attic-prod"', b'"attic-pwnd"'), where="plan.json")
    assert (stale.value.exit_code, stale.value.now) == (3, "nothing was touched")


def test_a_member_given_twice_is_refused():
    refuse(DATA.replace(b'"proof": "required"', b'"proof": "off", "proof": "required"'))


def test_a_later_format_and_nonsense_are_told_apart_from_a_change():
    later = DATA.replace(FORMAT.encode(), b"migrator.plan/2")
    with pytest.raises(ConfigurationError, match="not a plan of format"):
        decode_plan(later, where="plan.json")
    with pytest.raises(ConfigurationError, match="not JSON"):
        decode_plan(b"<html>", where="plan.json")
    with pytest.raises(ConfigurationError):
        decode_plan(b"[" * 100_000, where="plan.json")
