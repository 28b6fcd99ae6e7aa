"""Whatever ``status`` says without doubt is so; and it says it offline, from the disk alone, changing nothing."""

from typing import Any

from migrator.journal.log import read_log
from migrator.plan.model import PlannedState
from migrator.state.snapshot import read_snapshot
from tests.crash.effects import Effects
from tests.crash.lab import PROJECT, CrashLab, Truth
from tests.support.watcher import StandinSource, digest

# A run whose last barrier is reached is migrated, but for its last record: running it again writes that.
NEXT = {
    "rolling-back": ("migrator rollback",),
    "rolled-back": ("migrator plan",),
    "refused": ("migrator plan",),
    "migrated": ("migrator verify", "migrator migrate"),
    "finalized": ("nothing",),
}
GONE_BACK = ("rolled-back", "refused")
MOVED = ("migrated", "finalized")


def check_status(lab: CrashLab, *, planned: Truth, begun: Truth) -> None:
    """Compare what ``status`` says with the truth.

    ``planned`` is how everything was before the migration, ``begun`` how it was before the command that was killed.

    Raises: AssertionError.
    """
    effects = Effects(lab)
    with effects.installed():
        done = lab.run("status", "--json")
    assert effects.names == [], "status is not offline"
    truth = lab.see()
    if done.code != 0:
        # Nothing had begun: there is no run, and it must say so and how to begin.
        assert not any(read_log(run / "journal.jsonl") for run in lab.runs()), done.err
        assert done.code == 2, done.err
        assert "migrator migrate" in done.told["next"], done.err
        assert truth == begun, "there is no run here, and something was changed"
        return
    status = done.document
    assert status["next_command"].startswith(NEXT.get(status["phase"], ("migrator migrate",))), status
    doubted = set(status["in_doubt"])
    for said in status["states"]:
        _check_state(lab, said, doubted)
    _check_files(lab, status, truth)
    _check_phase(lab, status, truth, planned)


def _check_state(lab: CrashLab, said: dict[str, Any], doubted: set[str]) -> None:
    state = next(one for one in lab.planned.states if one.name == said["name"])
    own = lab.own_ids()
    source, target = StandinSource(lab.gitlab, PROJECT).look(state.name), lab.store.look(state.key)
    assert source is not None
    doubts = {step for step in ("lock_source", "lock_target", "unlock_target") if f"{step} {state.name}" in doubted}
    _check_lock("source", said, ours=source.lock_id in own, in_doubt="lock_source" in doubts)
    _check_lock("target", said, ours=target.lock_id in own, in_doubt=bool(doubts - {"lock_source"}))
    _check_authority(state, said, source, target, doubts)


def _check_lock(side: str, said: dict[str, Any], *, ours: bool, in_doubt: bool) -> None:
    word = said[f"{side}_lock"]
    if word == "in doubt":
        assert in_doubt, f"the lock at the {side} is in doubt, and no step is: {said}"
    else:
        assert (word == "held") == ours, f"the lock at the {side} is not {word}: {said}"


def _check_authority(state: PlannedState, said: dict[str, Any], source: Any, target: Any, doubts: set[str]) -> None:
    """Who holds the newest document, and who alone can be written, is the authority."""
    here = read_serial(source.versions[max(source.versions)] if source.versions else None)
    there = read_serial(target.data)
    if here != there and target.data is not None:
        assert said["authority"] == ("target" if there > here else "source"), f"the newest is elsewhere: {said}"
    adopted = state.adopted and digest(target.data) == state.sha256
    target_is_open = target.data is not None and target.lock_id is None and not adopted
    source_is_open = source.lock_id is None and not source.protected
    if target_is_open and not doubts & {"lock_target", "unlock_target"}:
        assert said["authority"] == "target", f"the target can be written: {said}"
    if source_is_open and "lock_source" not in doubts:
        assert said["authority"] == "source", f"the source can be written: {said}"


def read_serial(data: bytes | None) -> int:
    return -1 if data is None else read_snapshot(data).serial


def _check_files(lab: CrashLab, status: dict[str, Any], truth: Truth) -> None:
    files = lab.planned.files
    doubted = {one.removeprefix("cut_over_file ") for one in status["in_doubt"] if one.startswith("cut_over_file ")}
    named = {
        file.path
        for file in files
        if file.path in truth.files and digest(truth.files[file.path][1]) == file.post_sha256
    }
    certain = {file.path for file in files} - doubted
    assert len(named & certain) <= status["files_cut_over"] <= len(named), f"{sorted(named)} name the target: {status}"


def _check_phase(lab: CrashLab, status: dict[str, Any], truth: Truth, planned: Truth) -> None:
    phase = status["phase"]
    files = lab.planned.files
    if phase in ("planned", "captured", *GONE_BACK):
        assert truth.files == planned.files, f"files were changed: {status}"
    if phase == "planned":
        assert truth.objects == planned.objects, f"the target was written: {status}"
    if phase in GONE_BACK:
        assert truth.objects == planned.objects, f"the target was not given up: {status}"
        assert (truth.source_locks, truth.target_locks, truth.protected) == (
            planned.source_locks,
            planned.target_locks,
            planned.protected,
        ), f"a lock is left: {status}"
    if phase in MOVED:
        assert truth.source_locks == {state.name for state in lab.planned.states}, f"a source is not sealed: {status}"
        assert not truth.target_locks, f"a target is locked: {status}"
        assert all(digest(truth.files[file.path][1]) == file.post_sha256 for file in files), f"a file is left: {status}"
