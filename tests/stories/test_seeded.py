"""The stories can fail: each fault that is put into the engine here is found, most within a hundred stories.

The same stories are told each time, so that this does not depend on luck.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import Phase as Stage
from hypothesis import settings

from migrator.engine import rollback, runner, status, taking_back
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.steps.cut_over_file import CutOverFile
from migrator.engine.steps.lock_source import LockSource
from migrator.engine.steps.publish import Publish
from migrator.engine.steps.unlock_target import UnlockTarget
from migrator.journal.fold import StepState, StepView
from migrator.journal.record import Body
from migrator.state.snapshot import digest_of
from tests.stories.test_stories import SHAPES, STORIES, build_property
from tests.stories.world import LieError
from tests.support.watcher import ViolationError

ONE = SHAPES["one"]
BUDGET = settings(
    STORIES,
    max_examples=800,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
)


def never_lock_the_source(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LockSource, "apply", lambda self, ports, intent: {**intent, "who": "", "created": ""})


def lock_under_an_id_that_no_journal_has(patch: pytest.MonkeyPatch) -> None:
    apply = LockSource.apply

    def otherwise(self: LockSource, ports: Ports, intent: Body) -> Body:
        return apply(self, ports, {**intent, "lock_id": ports.new_id()})

    patch.setattr(LockSource, "apply", otherwise)


def open_the_target_without_a_last_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runner, "check_still_ours", lambda plan, run: None)


def give_the_source_back_first(patch: pytest.MonkeyPatch) -> None:
    undo = taking_back.undo_for_states

    def reversed_(states: Any, kinds: Sequence[StepKind], run: Any) -> None:
        undo(states, kinds[::-1], run)

    patch.setattr(rollback, "undo_for_states", reversed_)


def leave_the_target_open_on_the_way_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UnlockTarget, "undo", lambda self, ports, intent, undo_intent: dict(undo_intent))
    patch.setattr(rollback, "_close_target", lambda state, run: None)


def carry_nothing_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollback, "read_newer", lambda state, run: None)


def remove_whatever_stands_at_the_target(patch: pytest.MonkeyPatch) -> None:
    carry_nothing_back(patch)

    def undo(self: Publish, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        data = ports.target.read_state(self.state.key).data
        return {"removed": ports.target.remove_state(self.state.key, sha256=digest_of(data)).value}

    patch.setattr(Publish, "undo", undo)


def restore_files_over_edits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollback, "check_files", lambda plan, run: None)

    def undo(self: CutOverFile, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        if intent["pre_sha256"] is None:
            ports.work_tree.remove(self.file.path)
        else:
            ports.work_tree.replace(self.file.path, ports.blobs.read(intent["pre_sha256"]))
        return {"restored": "yes"}

    patch.setattr(CutOverFile, "undo", undo)


def take_doubt_for_certainty(patch: pytest.MonkeyPatch) -> None:
    held = status._held

    def certain(lock: StepView, *rest: Any) -> str:
        return "held" if lock.state is StepState.IN_DOUBT else held(lock, *rest)

    patch.setattr(status, "_held", certain)


@pytest.mark.hypothesis
@pytest.mark.parametrize(
    "seed",
    [
        never_lock_the_source,
        lock_under_an_id_that_no_journal_has,
        open_the_target_without_a_last_look,
        give_the_source_back_first,
        leave_the_target_open_on_the_way_back,
        carry_nothing_back,
        remove_whatever_stands_at_the_target,
        restore_files_over_edits,
        take_doubt_for_certainty,
    ],
)
def test_a_fault_in_the_engine_is_found(
    monkeypatch: pytest.MonkeyPatch, seed: Callable[[pytest.MonkeyPatch], None]
) -> None:
    seed(monkeypatch)
    with pytest.raises((ViolationError, LieError)):
        build_property(ONE, settings(BUDGET, phases=[Stage.generate]))()


@pytest.mark.hypothesis
def test_a_failing_story_is_short_and_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    give_the_source_back_first(monkeypatch)
    with pytest.raises(ViolationError, match="open: attic-dev") as found:
        build_property(ONE, settings(BUDGET, phases=[Stage.generate, Stage.shrink]))()
    told = "\n".join(found.value.__notes__)
    assert "the story:\n  migrate" in told
    assert "rollback: ViolationError" in told
    assert "At(" not in told
