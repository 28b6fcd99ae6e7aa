"""What ``StateLock`` promises, on every backend."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from migrator.backends.base import Released
from migrator.errors import ForeignLockError
from tests.backends.conftest import LockPlace, lock_info


def test_a_free_lock_is_read_as_none(lock_place: LockPlace) -> None:
    assert lock_place.backend.read_lock(lock_place.unit, "lock-1") is None


def test_an_acquired_lock_names_us_and_is_read_back(lock_place: LockPlace) -> None:
    held = lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-1"))
    seen = lock_place.backend.read_lock(lock_place.unit, "lock-1")
    assert held.id == "lock-1"
    assert seen is not None
    assert (seen.id, seen.who, seen.created) == (held.id, held.who, held.created)
    assert held.created


def test_reading_a_held_lock_with_another_id_changes_nothing(lock_place: LockPlace) -> None:
    lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-1"))
    for _ in range(2):
        seen = lock_place.backend.read_lock(lock_place.unit, "lock-2")
        assert seen is not None
        assert seen.id == "lock-1"
    assert lock_place.backend.release_lock(lock_place.unit, "lock-1") is Released.RELEASED


def test_acquiring_again_with_our_own_id_is_success(lock_place: LockPlace) -> None:
    lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-1"))
    assert lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-1")).id == "lock-1"


def test_a_foreign_lock_refuses_and_names_its_holder_and_time(lock_place: LockPlace) -> None:
    held = lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-1"))
    with pytest.raises(ForeignLockError) as refusal:
        lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-2"))
    for said in ("lock-1", held.who, held.created, lock_place.unit):
        assert said in refusal.value.message
    assert refusal.value.hint


def test_a_released_lock_is_free_for_the_next(lock_place: LockPlace) -> None:
    for number in range(3):
        lock_place.backend.acquire_lock(lock_place.unit, lock_info(f"lock-{number}"))
        assert lock_place.backend.release_lock(lock_place.unit, f"lock-{number}") is Released.RELEASED
    assert lock_place.backend.read_lock(lock_place.unit, "lock-0") is None


def test_releasing_what_nobody_holds_says_so(lock_place: LockPlace) -> None:
    assert lock_place.backend.release_lock(lock_place.unit, "lock-1") is Released.NOT_HELD


def test_releasing_a_foreign_lock_leaves_it(lock_place: LockPlace) -> None:
    lock_place.backend.acquire_lock(lock_place.unit, lock_info("lock-1"))
    assert lock_place.backend.release_lock(lock_place.unit, "lock-2") is Released.HELD_BY_OTHER
    seen = lock_place.backend.read_lock(lock_place.unit, "lock-2")
    assert seen is not None
    assert seen.id == "lock-1"


def test_of_eight_that_race_exactly_one_holds_it(lock_place: LockPlace) -> None:
    def race(number: int) -> str | None:
        try:
            return lock_place.backend.acquire_lock(lock_place.unit, lock_info(f"lock-{number}")).id
        except ForeignLockError:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [winner for winner in pool.map(race, range(8)) if winner]
    assert len(winners) == 1
    seen = lock_place.backend.read_lock(lock_place.unit, winners[0])
    assert seen is not None
    assert seen.id == winners[0]
