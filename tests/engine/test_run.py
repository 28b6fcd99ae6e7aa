"""Working in parallel within a budget; the first error ends it."""

import threading
import time
from dataclasses import replace

import pytest

from migrator.engine.parallel import SMALLEST_BUDGET, ByteBudget, run_for_states, run_in_parallel
from migrator.errors import RefusedError


def test_a_budget_lets_the_small_in_together_and_the_huge_alone():
    size, most, held, lock = 100 * 1024 * 1024, [0], [0], threading.Lock()
    budget = ByteBudget(size)

    def work(amount):
        with budget.take(amount):
            with lock:
                held[0] += amount
                most[0] = max(most[0], held[0])
            time.sleep(0.002)
            with lock:
                held[0] -= amount

    amounts = [size, size // 2, size // 2, size // 3, 1] * 8
    threads = [threading.Thread(target=work, args=(amount,)) for amount in amounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert size <= most[0] <= size


def test_a_document_larger_than_announced_waits_for_everything_and_goes_on():
    budget = ByteBudget(0)
    with budget.take(SMALLEST_BUDGET * 10):
        pass
    with budget.take(SMALLEST_BUDGET):
        pass


def test_a_budget_is_given_back_after_an_error():
    budget = ByteBudget(0)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), budget.take(SMALLEST_BUDGET):
            raise ValueError("broken")


def test_states_are_held_within_the_budget_of_the_largest(make_world):
    world = make_world()
    state = replace(world.state("attic-dev"), size=SMALLEST_BUDGET)
    running, most, lock = [0], [0], threading.Lock()

    def work(_):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.005)
        with lock:
            running[0] -= 1

    run_for_states([state] * 6, work, workers=6)
    assert most[0] == 1
    run_for_states([replace(state, size=10)] * 6, work, workers=6)
    assert most[0] > 1


def test_the_first_error_in_the_order_of_the_jobs_is_raised_and_no_further_job_starts():
    started, both = [], threading.Barrier(2)

    def fail(name):
        started.append(name)
        both.wait(10)
        raise RefusedError(name)

    jobs = [lambda: fail("first"), lambda: fail("second"), *[lambda: started.append("late")] * 20]
    with pytest.raises(RefusedError, match="first"):
        run_in_parallel(jobs, workers=2)
    assert sorted(started) == ["first", "second"]


def test_those_that_run_are_waited_for():
    done, failed = [], threading.Event()

    def slow():
        failed.wait(10)
        time.sleep(0.02)
        done.append(1)

    def fail():
        failed.set()
        raise RefusedError("no")

    with pytest.raises(RefusedError):
        run_in_parallel([slow, fail], workers=2)
    assert done == [1]


def test_no_jobs_are_no_error():
    run_in_parallel([], workers=4)
