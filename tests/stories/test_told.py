"""Stories that went wrong once, shrunk and kept."""

import pytest

from migrator.engine.phases import Phase
from tests.stories.acts import ApplyAtTarget, DeleteObject, ForceSource, ForceTarget, Protect
from tests.stories.effects import At, Trouble
from tests.stories.test_stories import SHAPES, Migrate, Part, Rollback, run_story

DEV = "attic-dev"


@pytest.mark.parametrize("way", ["migrate", "rollback"])
@pytest.mark.parametrize(
    ("shape", "story"),
    [
        pytest.param(
            "one",
            [Migrate(Phase.CUT_OVER), ForceSource(DEV), ForceTarget(DEV), ApplyAtTarget(DEV), Rollback()],
            id="both-locks-forced-open-before-the-target-was",
        ),
        pytest.param(
            "one",
            [Migrate(Phase.CUT_OVER), ForceTarget(DEV), Rollback((At(18, ApplyAtTarget(DEV)),)), Rollback()],
            id="written-past-the-target-lock-on-the-way-back",
        ),
        pytest.param(
            "mirrored",
            [Migrate(Phase.CUT_OVER, (At(30, Trouble.FULL),)), Rollback(elsewhere=True)],
            id="half-a-line-in-the-mirror",
        ),
        pytest.param(
            "mirrored",
            [Migrate(Phase.PROVEN), Rollback((At(21, Trouble.REPLY_LOST),), elsewhere=True), Rollback()],
            id="a-mirror-that-is-silent-for-a-moment",
        ),
        pytest.param(
            "mirrored",
            [Migrate(), Rollback((At(6, Trouble.KILLED_AFTER),), elsewhere=True), Rollback(elsewhere=True)],
            id="a-fetch-that-was-cut-short",
        ),
        pytest.param(
            "mirrored",
            [Migrate(Phase.MIGRATED, (At(1, Trouble.KILLED_AFTER),)), Rollback(), Rollback(elsewhere=True)],
            id="a-run-that-never-began-leaves-nothing-in-the-bucket",
        ),
        pytest.param(
            "one",
            [Migrate(Phase.MIGRATED, (At(5, Trouble.REVOKED),))],
            id="a-token-revoked-after-a-lost-grant",
        ),
        pytest.param(
            "ruled",
            [Migrate(), DeleteObject(DEV), Rollback(), Migrate()],
            id="a-lost-object-that-is-put-back",
        ),
        pytest.param(
            "ruled",
            [
                Migrate(Phase.MIGRATED, (At(50, Trouble.KILLED_AFTER),)),
                Migrate(Phase.MIGRATED, (At(32, Trouble.KILLED_AFTER),)),
                Rollback((At(45, Trouble.KILLED_AFTER),)),
            ],
            id="a-target-that-was-never-unlocked-and-is-not-locked-again",
        ),
        pytest.param(
            "ruled",
            [Migrate(Phase.MIGRATED, (At(1, Protect(DEV, "maintainer")),)), ForceSource(DEV)],
            id="a-seal-closed-again-under-a-rule-that-lets-us-past",
        ),
        pytest.param(
            "one",
            [Migrate(Phase.MIGRATED, (At(8, Trouble.KILLED_AFTER),)), ForceSource(DEV), ForceTarget(DEV)],
            id="both-locks-forced-open-before-anything-is-published",
        ),
    ],
)
def test_a_story_that_went_wrong_once(shape: str, story: list[Part], way: str) -> None:
    run_story(SHAPES[shape], story, way)
