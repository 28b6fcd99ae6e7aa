"""Other ends than the death of one quiet run: two states at a time, a signal, a network that goes away for good."""

import random
import re
import signal

import pytest
from urllib3.exceptions import ProtocolError

from tests.cli.lab import document
from tests.crash.effects import Effects, Kill, Killed, Moment
from tests.crash.matrix import MIGRATE, ROLLBACK
from tests.crash.status import check_status

TWO = {"alpha-dev": (document(7),), "beta-dev": (document(3, "l-2"),)}


def run(lab, *command, code=0):
    with Effects(lab).installed():
        done = lab.run(*command)
    assert done.code == code, done.err
    return done


def go_on_and_back(lab, planned, end):
    """From one point, the same command again and the way back."""
    check_status(lab, planned=planned, begun=planned)
    point, begun = lab.keep(), lab.has_begun()
    run(lab, *MIGRATE)
    assert lab.see() == end
    run(lab, "verify")
    lab.bring_back(point)
    run(lab, *ROLLBACK, code=0 if begun else 2)
    assert lab.see() == planned


# -- two states at a time ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_two_states_at_a_time_are_killed_and_go_on(make_lab, seed):
    """A sample: threads have their effects in another order each time."""
    lab = make_lab(TWO, parallel=True)
    start, planned = lab.keep(), lab.see()
    effects = Effects(lab)
    with effects.installed():
        assert lab.run(*MIGRATE).code == 0
    end = lab.see()
    lab.bring_back(start)
    chance = random.Random(seed)
    share = len(effects.names) // 12
    killed = Effects(lab, kill=Kill(1 + seed * share + chance.randrange(share), chance.choice(list(Moment))))
    with killed.installed():
        try:
            lab.run(*MIGRATE)
        except Killed:
            assert killed.dead
    if killed.dead:
        go_on_and_back(lab, planned, end)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_two_states_that_moved_on_are_carried_back_after_a_kill(make_lab, seed):
    lab = make_lab(TWO, parallel=True)
    planned = lab.see()
    assert lab.run(*MIGRATE).code == 0
    for name, (data,) in {"alpha-dev": (document(9),), "beta-dev": (document(4, "l-2"),)}.items():
        lab.put(lab.key(name), data)
    start = lab.keep()
    effects = Effects(lab)
    with effects.installed():
        assert lab.run(*ROLLBACK).code == 0
    end = lab.see()
    lab.bring_back(start)
    begun = lab.see()
    chance = random.Random(seed)
    share = len(effects.names) // 8
    killed = Effects(lab, kill=Kill(1 + seed * share + chance.randrange(share), chance.choice(list(Moment))))
    with killed.installed():
        try:
            lab.run(*ROLLBACK)
        except Killed:
            check_status(lab, planned=planned, begun=begun)
    run(lab, *ROLLBACK)
    assert lab.see() == end
    assert sorted(end.versions["alpha-dev"]) == [7, 9]


# -- a signal ----------------------------------------------------------------------------------------------------------


class Signalled(Effects):
    """Sends this process a signal just before an effect, which then takes place."""

    number = signal.SIGINT

    def _die(self):
        signal.raise_signal(self.number)


class Terminated(Signalled):
    number = signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "first"), [(Signalled, 0), (Terminated, 2)])
def test_a_signal_at_a_request_stops_between_two_steps(lab, layer, first):
    """At every fourth one, and from the last one on, when nothing is left to stop."""
    start, planned = lab.keep(), lab.see()
    effects = Effects(lab)
    with effects.installed():
        assert lab.run(*MIGRATE).code == 0
    end = lab.see()
    requests = [number for number, name in enumerate(effects.names, 1) if " source " in name or " target " in name]
    assert len(requests) > 20
    codes = set()
    for number in {*requests[first::4], *requests[-2:]}:
        lab.bring_back(start)
        layered = layer(lab, kill=Kill(number, Moment.BEFORE))
        with layered.installed():
            done = lab.run(*MIGRATE)
        codes.add(done.code)
        assert done.code in (0, 130), done.err
        if done.code == 130:
            # Before its first step a run has nothing to stop between.
            assert re.search("journal is intact|no step of a run was cut short", done.told["now"]), done.err
            assert lab.phase() != "migrated", f"{effects.names[number - 1]}: all is done, and it says {done.err}"
            go_on_and_back(lab, planned, end)
        else:
            assert lab.see() == end
    assert 130 in codes


# -- a network that goes away ------------------------------------------------------------------------------------------


class Outage(Effects):
    """From one request on, none is answered; ``Moment.UNSEEN``: that one still took effect."""

    def have(self, name, call, *, tear=None):
        if " source " not in name and " target " not in name:
            return super().have(name, call, tear=tear)
        self.requests = getattr(self, "requests", 0) + 1
        if self.requests == self._kill.effect and self._kill.moment is Moment.UNSEEN:
            super().have(name, call)
        if self.requests >= self._kill.effect:
            raise ProtocolError("the network is gone")
        return super().have(name, call)

    def _is_at(self, number, moment):
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "first"), [(Moment.BEFORE, 1), (Moment.UNSEEN, 3)])
def test_a_network_that_goes_away_at_a_request_stops_and_goes_on(lab, moment, first):
    """At every fourth one; the fault matrix has every kind of fault at every step."""
    start, planned = lab.keep(), lab.see()
    effects = Effects(lab)
    with effects.installed():
        assert lab.run(*MIGRATE).code == 0
    end = lab.see()
    requests = sum(" source " in name or " target " in name for name in effects.names)
    for number in range(first, requests + 1, 4):
        lab.bring_back(start)
        layered = Outage(lab, kill=Kill(number, moment))
        with layered.installed():
            done = lab.run(*MIGRATE)
        assert done.code in (0, 5, 6), done.err
        assert set(done.told) >= {"where", "now", "next"} or done.code == 0, done.err
        if done.code == 0:
            assert lab.see() == end
        go_on_and_back(lab, planned, end)
