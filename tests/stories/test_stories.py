"""Random stories: commands, kills, faults and what others do, in any order. Nothing is lost, and there is a way forward.

A story is a list of commands and acts (see ``acts``); commands may have trouble in them (see ``effects``). After every effect
the watcher looks at both servers; after every command what was said is held against the truth; a command without trouble may
refuse only for a reason that somebody else's act gave (see ``reasons``). At the end everybody else goes home and the run must
complete, or be refused for such a reason, and then go back when that is put right.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from migrator.engine.phases import Phase
from migrator.errors import MigratorError
from tests.stories import acts
from tests.stories.effects import Act, At, Trouble
from tests.stories.reasons import Reasons, backward, failing, forward, repair, send_rivals_home
from tests.stories.world import OVER, Shape, StoryWorld, check
from tests.support.world import BUCKET

SHAPES = {
    "one": Shape(states={"attic-dev": 7}),
    "ruled": Shape(states={"attic-dev": 7, "phantom-dev": None}, rules=True),
    "mirrored": Shape(states={"attic-dev": 7}, mirrored=True),
    "three": Shape(
        states={"attic-dev": 7, "attic-prod": 3, "kept-dev": 2},
        adopted=frozenset({"kept-dev"}),
        rules=True,
        mirrored=True,
    ),
}
STEPS = 12
UNTILS = st.sampled_from([Phase.MIGRATED, Phase.MIGRATED, Phase.CHECKED, Phase.PROVEN, Phase.CUT_OVER])
WAYS = st.sampled_from(["migrate", "rollback"])


@dataclass(frozen=True)
class Migrate:
    until: Phase = Phase.MIGRATED
    happenings: tuple[At, ...] = ()
    switches: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rollback:
    happenings: tuple[At, ...] = ()
    switches: tuple[int, ...] = ()
    elsewhere: bool = False
    without_target: bool = False


@dataclass(frozen=True)
class Verify:
    happenings: tuple[At, ...] = ()


@dataclass(frozen=True)
class Finalize:
    happenings: tuple[At, ...] = ()


Command = Migrate | Rollback | Verify | Finalize
Part = Command | Act


def weigh(**weighted: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several strategies, by weight. (``one_of`` would count the parts of its parts.)"""
    names = [name for name, (weight, _) in weighted.items() for _ in range(weight)]
    return st.sampled_from(names).flatmap(lambda name: weighted[name][1])


def strategy_of_acts(shape: Shape) -> st.SearchStrategy[Act]:
    states, numbers = st.sampled_from(sorted(shape.states)), st.integers(0, 2)
    rules = {
        "rules": (1, st.builds(acts.Protect, states, st.sampled_from(["admin", "maintainer"]))),
        "changes_rule": (1, st.builds(acts.ChangeRule, states)),
        "removes_rule": (1, st.builds(acts.Unprotect, states)),
    }
    return weigh(
        target=(4, st.builds(acts.ApplyAtTarget, states)),
        source=(2, st.builds(acts.ApplyAtSource, states)),
        begins=(1, st.builds(acts.LockAtSource, states)),
        begins_there=(1, st.builds(acts.LockAtTarget, states)),
        ends=(1, st.builds(acts.LetGo, states)),
        forces=(4, st.builds(acts.ForceSource, states)),
        forces_there=(1, st.builds(acts.ForceTarget, states)),
        ignores=(1, st.builds(acts.WritePastLock, states)),
        deletes=(1, st.builds(acts.DeleteObject, states)),
        overwrites=(1, st.builds(acts.Overwrite, states, st.sampled_from(acts.DAMAGES))),
        dies=(1, st.just(acts.TargetDies())),
        returns=(1, st.just(acts.TargetReturns())),
        edits=(2, st.builds(acts.EditFile, numbers)),
        takes_back=(1, st.builds(acts.TakeBack, numbers)),
        **(rules if shape.rules else {}),
    )


def strategy_of_parts(shape: Shape) -> st.SearchStrategy[Part]:
    act = strategy_of_acts(shape)
    longest = 20 + 30 * len(shape.states)
    # A command that goes on from the middle has few effects left.
    effect = weigh(early=(1, st.integers(1, 15)), any=(1, st.integers(1, longest)))
    at = st.builds(At, effect, weigh(trouble=(2, st.sampled_from(Trouble)), act=(1, act)))
    some = st.lists(at, min_size=1, max_size=2, unique_by=lambda one: one.effect).map(tuple)
    happenings = weigh(none=(1, st.just(())), some=(2, some))
    switches = st.sets(effect, max_size=4).map(sorted).map(tuple) if len(shape.states) > 1 else st.just(())
    elsewhere = st.sampled_from([False, False, True]) if shape.mirrored else st.just(value=False)
    return weigh(
        migrate=(5, st.builds(Migrate, UNTILS, happenings, switches)),
        rollback=(3, st.builds(Rollback, happenings, switches, elsewhere)),
        without=(1, st.builds(Rollback, happenings, switches, st.just(value=False), st.just(value=True))),
        act=(5, act),
        verify=(1, st.builds(Verify, happenings)),
        finalize=(1, st.builds(Finalize, happenings)),
    )


def strategy_of_stories(shape: Shape) -> st.SearchStrategy[list[Part]]:
    """Most begin with a migration: before it there is little that can happen."""
    first = st.lists(st.builds(Migrate, UNTILS), max_size=1)
    return st.builds(lambda first, rest: first + rest, first, st.lists(strategy_of_parts(shape), max_size=STEPS))


def tell(world: StoryWorld, story: Sequence[Part], *, way: str) -> None:
    """Let a story happen, and end it.

    Raises: ViolationError, LieError, or whatever a command should not have raised.
    """
    for part in story:
        match part:
            case Migrate():
                if world.prepare():
                    reasons = forward(world)
                    judge(world, world.migrate(part.until, part.happenings, part.switches), reasons, part)
            case Rollback():
                reasons, alive = backward(world), not world.dead
                error = world.rollback(
                    part.happenings, part.switches, elsewhere=part.elsewhere, without_target=part.without_target
                )
                judge(world, error, reasons | ({BUCKET: "it lives"} if part.without_target and alive else {}), part)
            case Verify():
                judge(world, world.verify(part.happenings), {}, part)
            case Finalize():
                world.finalize(part.happenings)
            case _:
                world.tell(part)
    end(world, way=way)


def judge(world: StoryWorld, error: MigratorError | None, reasons: Reasons, part: Command) -> None:
    """A command without trouble may refuse for a reason only, and says which."""
    if error is None or part.happenings or world.dead or world.split:
        return
    said = f"{error.where} {error.message}"
    if "worked on from another place" in said:
        check(isinstance(part, Migrate) and world.shape.mirrored, "no way past a machine that is dead", error)
        return
    codes = {3, 4, 5, 6} if "protected" in reasons.values() else {3, 4, 5}
    check(error.exit_code in codes and any(unit in said for unit in reasons), "no reason to refuse", error, reasons)


def end(world: StoryWorld, *, way: str) -> None:
    send_rivals_home(world)
    if world.split:
        return  # what a machine that gave the target up did is known there alone: here only the watcher judges
    if way == "migrate" and world.prepare():
        reasons = forward(world)
        judge(world, world.migrate(Phase.MIGRATED), reasons, Migrate())
    if world.view.outcome in (Phase.MIGRATED, Phase.FINALIZED):
        check_verify(world)
    if world.view.run_id and world.view.outcome != Phase.FINALIZED:
        reasons = backward(world)
        judge(world, world.rollback(), reasons, Rollback())
        if world.view.outcome not in OVER or world.view.target_left:
            repair(world)
            error = world.rollback()
            check(error is None, "no way back", error, error and error.__cause__)
        check_over(world)


def check_verify(world: StoryWorld) -> None:
    """``verify`` finds what is to be found, and nothing else."""
    found, expected = world.failed_checks(), failing(world)
    check(found == expected, "verify", found, expected)


def check_over(world: StoryWorld) -> None:
    """The run is over: the source serves the newest document, nothing of ours is left."""
    check(world.view.outcome in OVER and not world.view.target_left, world.view.outcome)
    check_verify(world)
    for state in world.plan.states:
        row, there = world.gitlab.rows[state.name], world.s3.look(state.key)
        check(not world.is_ours(row.lock.id if row.lock else None), "a lock is left at the source", state.name)
        check(not world.is_ours(there.lock_id), "a lock is left at the target", state.name)
        ours = there.data is not None and there.data in row.versions.values() and not state.adopted
        check(not ours or state.name in world.moved, "an object is left", state.name)


@contextmanager
def new_world(shape: Shape) -> Iterator[StoryWorld]:
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="story-", dir=memory if memory.is_dir() else None))
    try:
        yield StoryWorld(root, shape)
    finally:
        shutil.rmtree(root)


def run_story(shape: Shape, story: Sequence[Part], way: str) -> None:
    with new_world(shape) as world:
        try:
            tell(world, story, way=way)
        except Exception:
            note("\n  ".join(["the story:", *world.told]))
            raise


# A few hundred in the suite; HYPOTHESIS_PROFILE=nightly tells ten thousand.
STORIES = settings(
    max_examples=max(400, settings().max_examples) // len(SHAPES),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def build_property(shape: Shape, profile: settings) -> Callable[[], None]:
    @profile
    @given(strategy_of_stories(shape), WAYS)
    def property_(story: list[Part], way: str) -> None:
        run_story(shape, story, way)

    return property_


@pytest.mark.hypothesis
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_lost_and_there_is_a_way_forward(shape: str) -> None:
    build_property(SHAPES[shape], STORIES)()
