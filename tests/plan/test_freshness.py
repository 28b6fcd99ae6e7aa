"""A plan is for one repository in one condition."""

from dataclasses import replace

import pytest

from migrator.errors import StalePlanError
from migrator.plan.freshness import check_files, check_repository
from migrator.plan.model import PlannedFile


@pytest.fixture
def plan(case):
    files = [
        PlannedFile(path="a", pre_sha256="pre-a", post_sha256="post-a", edits=(), stacks=()),
        PlannedFile(path="b", pre_sha256="pre-b", post_sha256="post-b", edits=(), stacks=()),
        PlannedFile(path="new", pre_sha256=None, post_sha256="post-new", edits=(), stacks=()),
    ]
    return replace(case.plan(), files=tuple(files))


def test_another_repository(plan):
    check_repository(plan, "c0ffee")
    for identity in ("other", None):
        with pytest.raises(StalePlanError, match="another repository") as stale:
            check_repository(plan, identity)
        assert (stale.value.exit_code, stale.value.now) == (3, "nothing was touched")


def test_files_as_the_plan_read_them(plan):
    check_files(plan, {"a": "pre-a", "b": "pre-b"}.get)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"a": "edited", "b": "pre-b"}, "a changed"),
        ({"b": "pre-b"}, "a changed"),
        ({"a": "edited", "b": "edited"}, "a and 1 more changed"),
        ({"a": "pre-a", "b": "pre-b", "new": "somebody's"}, "new changed"),
        ({"a": "post-a", "b": "pre-b"}, "a changed"),
    ],
)
def test_files_that_changed(plan, found, says):
    with pytest.raises(StalePlanError, match=says) as stale:
        check_files(plan, found.get)
    assert stale.value.where == says.split(" ", maxsplit=1)[0]


def test_a_resumed_run_may_have_cut_over_already_but_only_what_it_names(plan):
    check_files(plan, {"a": "post-a", "b": "pre-b", "new": "post-new"}.get, allowed_post=["a", "new"])
    with pytest.raises(StalePlanError, match="b changed"):
        check_files(plan, {"a": "post-a", "b": "post-b", "new": "post-new"}.get, allowed_post=["a", "new"])
    with pytest.raises(StalePlanError, match="a changed"):
        check_files(plan, {"a": "edited", "b": "pre-b"}.get, allowed_post=["a"])
