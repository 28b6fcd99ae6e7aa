"""The read-only look at both sides, on real servers."""

import pytest

from migrator.engine.observe import observe_source, observe_target
from migrator.errors import BackendError
from migrator.standin import Fault
from migrator.state.snapshot import digest_of
from tests.support.world import document


@pytest.fixture
def world(make_world):
    return make_world({"a": document(7), "b": None, "c": document(2, lineage="l-2")})


def test_every_state_in_order_with_what_its_document_says(world):
    world.lock_source("c")
    before = world.truth()
    first, second, third = observe_source(world.source)
    assert (first.name, first.listed_serial, first.serial, first.lineage) == ("a", 7, 7, "l-1")
    assert (first.sha256, first.size, first.locked_by) == (digest_of(document(7)), len(document(7)), None)
    assert (second.name, second.listed_serial, second.sha256, second.problem) == ("b", None, None, None)
    assert third.locked_by.startswith("maint since 20")
    assert world.truth() == before


def test_only_what_is_wanted_is_read(world):
    requests = len(world.standin.exchanges())
    found = observe_source(world.source, wanted=["c"])
    assert [one.sha256 is not None for one in found] == [False, False, True]
    read = [one.path for one in world.standin.exchanges()[requests:] if one.path.endswith("/state/a")]
    assert read == []


def test_a_listed_version_without_a_document_is_a_lost_file(world):
    world.standin.arm(Fault(mode="c", state="a"))
    found = observe_source(world.source)[0]
    assert (found.problem.code, found.problem.where, found.sha256) == ("missing-document", "a", None)
    assert "lists version 7 but serves no document" in found.problem.message


def test_a_document_that_is_no_state_is_a_problem_and_not_quoted(make_world):
    world = make_world({"a": b'{"version":5,"serial":7,"secret":"canary"}'})
    (found,) = observe_source(world.source)
    assert found.problem.code == "invalid-document"
    assert "canary" not in repr(found)


def test_the_target_shows_bytes_and_locks_and_nothing_is_written(world):
    world.put("a", b"")
    world.put("c", b"theirs")
    world.put_lock("b")
    before = world.truth()
    keys = [world.state(name).key for name in ("c", "b", "a")]
    found = observe_target(world.target, keys)
    assert [one.key for one in found] == keys
    assert [one.sha256 for one in found] == [digest_of(b"theirs"), None, digest_of(b"")]
    assert [one.locked_by is None for one in found] == [True, False, True]
    assert "rival@there" in found[1].locked_by
    assert world.truth() == before
    assert observe_target(world.target, []) == []


def test_a_source_that_cannot_be_reached(world):
    world.standin.stop()
    with pytest.raises(BackendError):
        observe_source(world.source)
