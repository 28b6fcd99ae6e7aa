"""A gate between children and servers: every request of every child passes it, one at a time, and a trap can stand there.

    gate = Gate()
    road = gate.open_road(server.endpoint)      # road.url stands for the server from now on
    gate.lay(Trap(Moment.AFTER, number=7, do=lambda: kill(child)))
    ...
    gate.check()                                # raises what went wrong at the gate

Since one request is on its way at a time, ``judge`` sees the servers after each single effect. A trap that raises
``DroppedError`` ends the connection there: the child gets no reply. While a trap acts every other request waits, unless it
stands aside.
"""

import http.client
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import urlsplit

from migrator.standin.connection import Connection
from migrator.standin.exchange import Reply, Request
from migrator.standin.server import _Server

_OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}
_DROPPED = Reply(0, dropped=True)
_SECONDS = 120


class Moment(Enum):
    """When a trap acts on a request."""

    BEFORE = auto()  # the server has not seen it
    AFTER = auto()  # it took effect, and nobody has seen the reply
    REPLIED = auto()  # the reply was passed on


class DroppedError(Exception):
    """Ends a connection at the gate, without a reply."""


@dataclass(eq=False, slots=True)
class Passing:
    """One request at the gate; ``port`` is the child's end of its connection, ``number`` counts from 1 those that passed."""

    method: str
    path: str
    port: int
    number: int = 0

    @property
    def writes(self) -> bool:
        """Whether it may change something at a server."""
        return self.method not in ("GET", "HEAD") and self.path != "/api/graphql"

    def __str__(self) -> str:
        return f"request {self.number}, {self.method} {self.path}"


@dataclass
class Trap:
    """Acts once, on the first request that is like this; ``path`` is a regular expression.

    ``aside``: while it acts, other requests pass.
    """

    moment: Moment
    do: Callable[[], None]
    number: int = 0
    method: str = ""
    path: str = ""
    aside: bool = False
    sprung: Passing | None = None

    def suits(self, passing: Passing, moment: Moment) -> bool:
        return (
            self.sprung is None
            and self.moment is moment
            and self.number in {0, passing.number}
            and self.method in {"", passing.method}
            and re.search(self.path, passing.path) is not None
        )


def _judge_nothing(moment: str) -> None:
    """Nobody watches."""


def choose_first(waiting: Sequence[Passing]) -> Passing | None:
    """Who came first goes first."""
    return waiting[0]


@dataclass
class Gate:
    """See the module. ``seen`` are the requests since the last ``clear``, ``arrivals`` the children's ends of connections
    since then, ``waiting`` who is to pass yet; ``failure`` is the first of judge and traps.

    ``choose`` says which of those that wait is next; None: nobody, until another one has come.
    """

    judge: Callable[[str], None] = _judge_nothing
    choose: Callable[[Sequence[Passing]], Passing | None] = choose_first
    seen: list[Passing] = field(default_factory=list)
    waiting: list[Passing] = field(default_factory=list)
    arrivals: set[int] = field(default_factory=set)
    _traps: list[Trap] = field(default_factory=list)
    _roads: list["Road"] = field(default_factory=list)
    failure: BaseException | None = None
    _shut: bool = False
    _free: bool = True
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def open_road(self, upstream: str) -> "Road":
        """Listen for requests to ``upstream``, the base URL of a server."""
        self._roads.append(Road(self, upstream))
        return self._roads[-1]

    def lay(self, *traps: Trap) -> None:
        """Add traps."""
        with self._changed:
            self._traps.extend(traps)

    def clear(self) -> None:
        """End every connection, forget traps, order and requests, and let requests pass again."""
        for road in self._roads:
            road.end_connections()
        with self._changed:
            self._traps.clear()
            self.seen.clear()
            self.arrivals.clear()
            self.choose = choose_first
            self._shut = False

    def shut(self) -> None:
        """Let nothing pass any more, until ``clear``; for traps."""
        self._shut = True

    def check(self) -> None:
        """Raise what the judge or a trap raised."""
        if self.failure is not None:
            raise self.failure

    def wait(self, is_so: Callable[[], bool], *, seconds: float = _SECONDS) -> bool:
        """Wait until something about ``waiting`` or ``arrivals`` is so, and return whether it is; for traps."""
        with self._changed:
            return self._changed.wait_for(is_so, timeout=seconds)

    def close(self) -> None:
        """Stop listening."""
        while self._roads:
            self._roads.pop().close()

    def arrive(self, port: int) -> None:
        """Note a connection."""
        with self._changed:
            self.arrivals.add(port)
            self._changed.notify_all()

    def enter(self, passing: Passing) -> None:
        """Wait for one's turn; ``leave`` ends it."""
        with self._changed:
            self._take_turn(passing)
            self.seen.append(passing)
            passing.number = len(self.seen)

    def _take_turn(self, passing: Passing) -> None:
        with self._changed:
            self.waiting.append(passing)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._may_pass(passing), timeout=_SECONDS):
                self.failure = self.failure or AssertionError(f"nobody let {passing} pass within {_SECONDS} s")
                self.choose = choose_first
                self._changed.wait_for(lambda: self._may_pass(passing))
            self.waiting.remove(passing)
            self._free = False

    def _give_turn(self) -> None:
        with self._changed:
            self._free = True
            self._changed.notify_all()

    def _may_pass(self, passing: Passing) -> bool:
        return self._free and self.choose(self.waiting) is passing

    def pass_on(self, passing: Passing, forward: Callable[[], Reply]) -> Reply:
        """Let one request through to the server and back."""
        try:
            if self._shut:
                return _DROPPED
            self._spring(passing, Moment.BEFORE)
            reply = forward()
            if passing.writes:
                self.judge(str(passing))
            self._spring(passing, Moment.AFTER)
        except (DroppedError, OSError, http.client.HTTPException):
            return _DROPPED
        except BaseException as error:  # noqa: BLE001 - shown to the test by `check`; here nobody would see it
            self.failure = self.failure or error
            return _DROPPED
        return reply

    def leave(self, passing: Passing) -> None:
        """End one's turn."""
        try:
            self._spring(passing, Moment.REPLIED)
        except DroppedError:
            pass  # the reply is on its way already
        except BaseException as error:  # noqa: BLE001 - as above
            self.failure = self.failure or error
        finally:
            self._give_turn()

    def _spring(self, passing: Passing, moment: Moment) -> None:
        for trap in [trap for trap in self._traps if trap.suits(passing, moment)]:
            trap.sprung = passing
            if trap.aside:
                self._give_turn()
            try:
                trap.do()
            finally:
                if trap.aside:
                    self._take_turn(passing)


class Road:
    """One way through the gate: listens at ``url`` and forwards to ``upstream``, which may be set anew."""

    def __init__(self, gate: Gate, upstream: str) -> None:
        self.upstream = upstream
        road = self

        class Crossing(Connection):
            _passing: Passing | None = None

            def handle(self) -> None:
                gate.arrive(self.client_address[1])
                super().handle()

            def answer(self, request: Request) -> Reply:
                self._passing = Passing(request.method, request.path, self.client_address[1])
                gate.enter(self._passing)
                reply = gate.pass_on(self._passing, lambda: road._forward(request))
                if reply.dropped:
                    self._leave()
                return reply

            def _send(self, reply: Reply, *, head_only: bool, close: bool) -> None:
                try:
                    super()._send(reply, head_only=head_only, close=close)
                finally:
                    self._leave()

            def _leave(self) -> None:
                if self._passing is not None:
                    passing, self._passing = self._passing, None
                    gate.leave(passing)

        self._server = _Server(("127.0.0.1", 0), Crossing)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end_connections(self) -> None:
        self._server.close_connections()

    def close(self) -> None:
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()

    def _forward(self, request: Request) -> Reply:
        parts = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
        try:
            headers = {name: text for name, text in request.headers.items() if name not in _OF_ONE_HOP}
            target = f"{request.path}?{request.query_string}" if request.query_string else request.path
            connection.request(request.method, target, request.body or None, headers)
            answer = connection.getresponse()
            return _build_reply(request, answer, answer.read())
        finally:
            connection.close()


def _build_reply(request: Request, answer: http.client.HTTPResponse, body: bytes) -> Reply:
    if request.method == "HEAD":
        body = bytes(int(answer.headers.get("Content-Length") or 0))  # never sent; its length is
    said_elsewhere = _OF_ONE_HOP | {"content-length", "content-type"}
    headers = tuple((name, text) for name, text in answer.getheaders() if name.lower() not in said_elsewhere)
    return Reply(answer.status, body, answer.headers.get("Content-Type"), headers)
