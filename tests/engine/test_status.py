"""The status, from plan and journal alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.engine.phases import FORWARD, Phase, StepKind
from migrator.engine.status import build_status
from migrator.journal.fold import fold
from migrator.journal.record import Record, RecordKind
from tests.support.world import build_plan, document

PLAN = build_plan({"a": document(7)}, "p/", "http://127.0.0.1", "http://127.0.0.1")
BODY = {"lock_id": "l", "serial": 9, "sha256": "d", "message": "m", "outcome": "migrated", "barrier": "captured"}


def records(*entries):
    return [
        Record(number=number, at=f"t{number}", kind=kind, step=step, unit="a" if step else "", body=BODY | body)
        for number, (kind, step, body) in enumerate(entries, 1)
    ]


def status(*entries):
    return build_status(PLAN, "digest", fold(records(*entries)))


def forward(until):
    """The records of a run that reached a phase."""
    entries = [(RecordKind.RUN, "", {"run": "r", "plan": "digest"})]
    for phase, kinds in FORWARD:
        for kind in kinds:
            if kind is not StepKind.CUT_OVER_FILE:
                entries += [(RecordKind.INTENT, kind, {}), (RecordKind.DONE, kind, {})]
        entries.append((RecordKind.BARRIER, "", {"barrier": phase}))
        if phase is until:
            break
    return entries


@pytest.mark.parametrize(
    ("until", "authority", "target_lock"),
    [
        (Phase.CAPTURED, "source", "held"),
        (Phase.CHECKED, "source", "held"),
        (Phase.PROVEN, "source", "held"),
        (Phase.CUT_OVER, "target", "held"),
        (Phase.MIGRATED, "target", "free"),
    ],
)
def test_forward(until, authority, target_lock):
    found = status(*forward(until))
    (state,) = found.states
    assert (found.phase, state.authority, state.source_lock, state.target_lock) == (
        until,
        authority,
        "held",
        target_lock,
    )
    assert (found.run, found.plan, found.started_at) == ("r", "digest", "t1")
    assert found.next_command == "migrator migrate (or: migrator rollback)"


def test_before_anything():
    found = status()
    (state,) = found.states
    assert (found.phase, state.authority, state.source_lock, state.target_lock) == ("planned", "source", "free", "free")
    assert (state.step, state.record, found.in_doubt, found.stopped) == ("", 0, (), None)


@pytest.mark.parametrize("kind", [StepKind.LOCK_SOURCE, StepKind.LOCK_TARGET])
def test_a_lock_in_doubt_is_called_so(kind):
    found = status((RecordKind.INTENT, kind, {}))
    state = found.states[0]
    said = state.source_lock if kind is StepKind.LOCK_SOURCE else state.target_lock
    assert (said, found.in_doubt) == ("in doubt", (f"{kind} a",))


def test_backward_after_the_target_moved_on():
    entries = [*forward(Phase.MIGRATED), (RecordKind.OUTCOME, "", {"outcome": "migrated"})]
    assert status(*entries).next_command == "migrator verify"
    entries.append((RecordKind.ROLLBACK, "", {}))
    found = status(*entries)
    assert (found.phase, found.next_command, found.states[0].authority) == (
        "rolling-back",
        "migrator rollback",
        "target",
    )
    entries += [(RecordKind.UNDO_INTENT, StepKind.UNLOCK_TARGET, {})]
    assert status(*entries).states[0].target_lock == "in doubt"
    entries += [(RecordKind.UNDONE, StepKind.UNLOCK_TARGET, {})]
    assert (status(*entries).states[0].target_lock, status(*entries).states[0].authority) == ("held", "target")
    entries += [(RecordKind.INTENT, StepKind.CAPTURE_TARGET, {}), (RecordKind.DONE, StepKind.CAPTURE_TARGET, {})]
    entries += [(RecordKind.INTENT, StepKind.CARRY_BACK, {}), (RecordKind.DONE, StepKind.CARRY_BACK, {})]
    assert (status(*entries).states[0].authority, status(*entries).states[0].carried_serial) == ("source", 9)


@pytest.mark.parametrize(
    ("outcome", "command"),
    [("migrated", "migrator verify"), ("rolled-back", "migrator plan"), ("refused", "migrator plan")],
)
def test_an_outcome_leaves_nothing_in_doubt_and_says_what_comes_next(outcome, command):
    found = status((RecordKind.INTENT, StepKind.PROVE, {}), (RecordKind.OUTCOME, "", {"outcome": outcome}))
    assert (found.phase, found.in_doubt, found.next_command) == (outcome, (), command)


def test_a_run_whose_first_effect_was_refused_holds_nothing():
    begun = [(RecordKind.INTENT, kind, {}) for kind in (StepKind.LOCK_SOURCE, StepKind.LOCK_TARGET)]
    (state,) = status(*begun, (RecordKind.OUTCOME, "", {"outcome": "refused"})).states
    assert (state.source_lock, state.target_lock, state.seal) == ("free", "free", "none")


def test_the_last_stop_is_told():
    assert status((RecordKind.STOPPED, "", {"message": "no network"})).stopped == "no network"


@given(st.lists(st.tuples(st.sampled_from(RecordKind), st.sampled_from(["", *StepKind]), st.just({})), max_size=14))
def test_any_journal_has_a_status(entries):
    found = status(*entries)
    assert found.states[0].authority in ("source", "target")
    assert found.next_command
