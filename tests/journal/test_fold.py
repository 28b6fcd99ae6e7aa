"""The fold: total over any sequence of records, and the same whether it is made at once or record by record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.journal.fold import RunView, StepState, fold
from migrator.journal.record import Record, RecordKind

BODIES = st.dictionaries(
    st.sampled_from(["run", "plan", "barrier", "outcome", "lock_id", "message"]), st.none() | st.integers() | st.text()
)
RECORDS = st.lists(
    st.builds(
        Record,
        number=st.integers(1, 99),
        at=st.just("2026-01-02T03:04:05Z"),
        kind=st.sampled_from(RecordKind),
        step=st.sampled_from(["", "publish", "lock_source"]),
        unit=st.sampled_from(["", "a", "b"]),
        body=BODIES,
    ),
    max_size=12,
)


@given(RECORDS)
def test_any_sequence_folds_and_folding_step_by_step_gives_the_same(records):
    view = RunView()
    for record in records:
        view.add(record)
    assert view == fold(records)
    assert all(one.state in StepState for one in view.steps.values())
    assert (view.updated_at == "") == (not records)


def entry(kind: RecordKind, number: int = 1, **body: object) -> Record:
    return Record(number=number, at="t", kind=kind, step="publish", unit="a", body=body)


INTENT, DONE, BACK, UNDONE = (
    entry(RecordKind.INTENT, 1, key="k"),
    entry(RecordKind.DONE, 2, etag="e"),
    entry(RecordKind.UNDO_INTENT, 3, lock_id="l"),
    entry(RecordKind.UNDONE, 4),
)


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([], StepState.UNTOUCHED),
        ([INTENT], StepState.IN_DOUBT),
        ([INTENT, DONE], StepState.DONE),
        ([INTENT, BACK], StepState.UNDO_IN_DOUBT),
        ([INTENT, DONE, BACK], StepState.UNDO_IN_DOUBT),
        ([INTENT, DONE, BACK, UNDONE], StepState.UNDONE),
        ([INTENT, INTENT], StepState.IN_DOUBT),
    ],
)
def test_how_far_a_step_is(records, state):
    view = fold(records).step("publish", "a")
    assert view.state is state
    assert view.intent == (dict(INTENT.body) if records else None)
    assert view.number == (records[-1].number if records else 0)


def test_a_rollback_takes_the_outcome_back_and_a_new_outcome_ends_it():
    records = [entry(RecordKind.OUTCOME, outcome="migrated"), entry(RecordKind.ROLLBACK)]
    assert (fold(records).outcome, fold(records).rolling_back) == (None, True)
    assert fold([*records, entry(RecordKind.OUTCOME, outcome="rolled-back")]).outcome == "rolled-back"


def test_the_last_stop_is_remembered_until_something_happens():
    stopped = entry(RecordKind.STOPPED, message="m")
    assert fold([INTENT, stopped]).stopped == {"message": "m"}
    assert fold([INTENT, stopped, DONE]).stopped is None


def test_units_are_in_the_order_in_which_their_steps_began():
    records = [Record(number=n, at="t", kind=RecordKind.INTENT, step="s", unit=u, body={}) for n, u in enumerate("cab")]
    assert fold(records).units("s", StepState.IN_DOUBT) == ["c", "a", "b"]
    assert fold(records).units("s", StepState.DONE) == []
