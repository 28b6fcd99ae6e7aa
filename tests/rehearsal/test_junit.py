"""The JUnit file is XML that a CI server reads: failures, skips, times, and no character that XML forbids."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import ConfigurationError
from migrator.rehearsal.junit import build_junit, write_junit
from migrator.rehearsal.model import Outcome, Proof, Rehearsal

PROOFS = st.builds(
    Proof,
    name=st.sampled_from(["plan", "migrate", "states"]),
    outcome=st.sampled_from(Outcome),
    seconds=st.floats(0, 1000),
    detail=st.text(),
    hint=st.none() | st.text(),
)


def rehearsal(*proofs: Proof) -> Rehearsal:
    return Rehearsal(repository="infra", states=8, states_from="recorded", tofu=None, proofs=proofs, seconds=2.5)


@given(st.lists(PROOFS))
def test_any_rehearsal_is_well_formed_and_counts_what_it_holds(proofs: list[Proof]) -> None:
    suite = ElementTree.fromstring(build_junit(rehearsal(*proofs))).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert int(suite.get("tests", "")) == len(cases) == len(proofs)
    for tag, attribute, outcome in (("failure", "failures", Outcome.FAILED), ("skipped", "skipped", Outcome.LEFT_OUT)):
        expected = [proof.outcome is outcome for proof in proofs]
        assert [case.find(tag) is not None for case in cases] == expected
        assert int(suite.get(attribute, "")) == sum(expected)


def test_a_failure_carries_reason_and_hint() -> None:
    failed = Proof(
        name="plan", outcome=Outcome.FAILED, seconds=1.25, detail="<refused> & said so", hint="migrator plan"
    )
    case = ElementTree.fromstring(build_junit(rehearsal(failed))).find("testsuite/testcase")
    assert case is not None
    assert (case.get("name"), case.get("time")) == ("plan", "1.250")
    failure = case.find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("<refused> & said so", "migrator plan")


def test_a_file_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="JUnit file cannot be written"):
        write_junit(tmp_path / "absent" / "junit.xml", rehearsal())
