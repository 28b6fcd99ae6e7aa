"""Whatever a status says without doubt must be so: its words, compared with the truth of both servers and of the files.

Deliberately not here: the phase, which only whoever knows what was to happen can judge (``tests.crash.status``).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from migrator.plan.model import Plan, PlannedState
from migrator.state.snapshot import read_snapshot
from tests.support.watcher import KeyStore, SourceStore, SourceTruth, StandinSource, TargetTruth, digest
from tests.support.world import PROJECT, World


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The truth that a status is compared with; ``files`` are the bytes of the work tree by path."""

    plan: Plan
    source: SourceStore
    target: KeyStore
    own_ids: Collection[str]
    files: Mapping[str, bytes]


def check_status(world: World) -> None:
    """Compare the status of a world's latest run with the truth.

    Raises: AssertionError.
    """
    facts = Facts(
        plan=world.plan,
        source=StandinSource(world.standin, PROJECT),
        target=world.objects,
        own_ids=world.own_ids(),
        files={path: data for path, (data, _) in world.truth().files.items()},
    )
    check_told(msgspec.to_builtins(world.status()), facts)


def check_told(status: Mapping[str, Any], facts: Facts) -> None:
    """Compare a status, as its JSON document has it, with the truth.

    Raises: AssertionError.
    """
    doubted = set(status["in_doubt"])
    for said in status["states"]:
        state = next(one for one in facts.plan.states if one.name == said["name"])
        _check_state(state, said, facts, doubted)
    _check_files(status, facts, doubted)
    assert status["next_command"]


def _check_state(state: PlannedState, said: Mapping[str, Any], facts: Facts, doubted: Collection[str]) -> None:
    source, target = facts.source.look(state.name), facts.target.look(state.key)
    assert source is not None, f"the source lost {state.name}"
    doubts = {step for step in ("lock_source", "lock_target", "unlock_target") if f"{step} {state.name}" in doubted}
    own = facts.own_ids
    _check_lock("source", said, ours=source.lock_id in own, in_doubt="lock_source" in doubts)
    _check_lock("target", said, ours=target.lock_id in own, in_doubt=bool(doubts - {"lock_source"}))
    _check_authority(state, said, source, target, doubts)


def _check_lock(side: str, said: Mapping[str, Any], *, ours: bool, in_doubt: bool) -> None:
    word = said[f"{side}_lock"]
    if word == "in doubt":
        assert in_doubt, f"the lock at the {side} is in doubt, and no step is: {said}"
    else:
        assert (word == "held") == ours, f"the lock at the {side} is not {word}: {said}"


def _check_authority(
    state: PlannedState, said: Mapping[str, Any], source: SourceTruth, target: TargetTruth, doubts: Collection[str]
) -> None:
    """Who holds the newest document, and who alone can be written, is the authority."""
    here = _read_serial(source.versions[max(source.versions)] if source.versions else None)
    there = _read_serial(target.data)
    if here != there and target.data is not None:
        assert said["authority"] == ("target" if there > here else "source"), f"the newest is elsewhere: {said}"
    adopted = state.adopted and digest(target.data) == state.sha256
    target_is_open = target.data is not None and target.lock_id is None and not adopted
    source_is_open = source.lock_id is None and not source.protected
    if target_is_open and not source_is_open and not doubts & {"lock_target", "unlock_target"}:
        assert said["authority"] == "target", f"only the target can be written: {said}"
    if source_is_open and not target_is_open and "lock_source" not in doubts:
        assert said["authority"] == "source", f"only the source can be written: {said}"


def _read_serial(data: bytes | None) -> int:
    return -1 if data is None else read_snapshot(data).serial


def _check_files(status: Mapping[str, Any], facts: Facts, doubted: Collection[str]) -> None:
    named = {file.path for file in facts.plan.files if digest(facts.files.get(file.path)) == file.post_sha256}
    certain = {file.path for file in facts.plan.files if f"cut_over_file {file.path}" not in doubted}
    assert len(named & certain) <= status["files_cut_over"] <= len(named), f"{sorted(named)} name the target: {status}"
