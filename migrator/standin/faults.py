"""Faults that are armed by the configuration or by a test: which request they strike, and when they are spent.

Invariants: a fault counts only the requests that its mode looks at (and its `state` names); counting is atomic, so that
`times` holds under concurrent requests. Deliberately not here: what a fault does; the route that it strikes says that.

| mode | strikes | effect |
|---|---|---|
| a | POST state that was committed | 500, or with variant `drop` a closed connection |
| b | POST lock that was granted | closed connection |
| c | GET state | 204, as if the file never reached the storage |
| d | DELETE state | 200, nothing removed, as if somebody held the lock |
| e | any request on a soft-deleted state | 422 for `after` + `times` requests, then the row is gone |
| f | POST state, POST lock, DELETE lock, DELETE state | 409 `Resource lock`, no lock info |
| g | any request | 429 `Retry later` |
| h | POST state, before authentication | 413 as plain text |
| i | any authenticated request | 401, the token has expired; lasts |
| j | what mode f strikes | 403 with a reason, as a protection rule gives |
| k | POST state with an ID | somebody force-unlocks first |
| l | GET state that is not locked | somebody writes the next serial first |
| m | any request on a project by its path | 301 or 405, the project has moved; lasts |
| n | GraphQL | `versions` and `protectionRuleExists` do not exist; lasts |
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from migrator.standin.configuration import Fault


class Faults:
    """The armed faults."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._mutex = threading.Lock()
        self._armed: dict[str, list[_Armed]] = {}
        for fault in faults:
            self.arm(fault)

    def arm(self, fault: Fault) -> None:
        """Add a fault; it counts from now on."""
        with self._mutex:
            self._armed.setdefault(fault.mode, []).append(_Armed(fault))

    def disarm(self) -> None:
        """Take all faults away."""
        with self._mutex:
            self._armed.clear()

    def strike(self, mode: str, state: str | None) -> Fault | None:
        """Count this request for a mode; the fault where one strikes. `state` None: the request names none."""
        if mode not in self._armed:
            return None
        with self._mutex:
            struck = [armed.fault for armed in self._matching(mode, state) if armed.count()]
            return struck[0] if struck else None

    def is_spent(self, mode: str, state: str | None) -> bool:
        """True where a fault of this mode was armed for the state and has struck as often as it should."""
        if mode not in self._armed:
            return False
        with self._mutex:
            matching = self._matching(mode, state)
            return bool(matching) and all(armed.spent for armed in matching)

    def _matching(self, mode: str, state: str | None) -> list[_Armed]:
        return [armed for armed in self._armed.get(mode, ()) if armed.fault.state in (None, state)]


class _Armed:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self._seen >= self.fault.after + self.fault.times

    def count(self) -> bool:
        strikes = not self.spent and self._seen >= self.fault.after
        self._seen += 1
        return strikes
