"""The stand-in as one object: start it, point a client at it, look at the truth, stop it.

Invariants: listens on 127.0.0.1 only; after `stop` returns no request is being answered. The record of exchanges holds method, path and
status, never a query, a header or a body: those carry secrets.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from migrator.standin.configuration import Configuration, Fault
from migrator.standin.connection import Connection
from migrator.standin.exchange import SERVER_ERROR, Reply, Request
from migrator.standin.faults import Faults
from migrator.standin.model import RuleRow, StateTruth
from migrator.standin.routes import build_reply
from migrator.standin.rules import Rules
from migrator.standin.service import Service
from migrator.standin.storage import DirectoryStorage, MemoryStorage
from migrator.standin.store import Store

HOST = "127.0.0.1"
EXCHANGE_LIMIT = 100_000
DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that was answered; the path is raw and without its query."""

    method: str
    path: str
    status: int


class Standin:
    """A GitLab, as far as states go. `storage` is a directory that survives the process; without one all is in memory.

    `latency_seconds` is slept before each request is answered.
    """

    def __init__(
        self,
        configuration: Configuration,
        storage: Path | None = None,
        *,
        port: int = 0,
        latency_seconds: float = 0.0,
    ) -> None:
        kept = DirectoryStorage(storage) if storage else MemoryStorage()
        rules = Rules(kept, configuration.protection_rules)
        self.store = Store(kept, configuration.states)
        self.faults = Faults(configuration.faults)
        self._service = Service(configuration, self.store, rules, self.faults)
        self._port = port
        self._latency_seconds = latency_seconds
        self._exchanges: deque[Exchange] = deque(maxlen=EXCHANGE_LIMIT)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen and answer in the background; the base URL, without a slash at the end.

        Raises: OSError where the port is taken.
        """
        if self._server is not None:
            raise RuntimeError("the stand-in is running already")
        connection = type("StandinConnection", (Connection,), {"answer": staticmethod(self._answer)})
        self._server = _Server((HOST, self._port), connection)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="standin", daemon=True
        )
        self._thread.start()
        return self.base_url

    @property
    def base_url(self) -> str:
        """Where the running stand-in listens."""
        if self._server is None:
            raise RuntimeError("the stand-in is not running")
        return f"http://{HOST}:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop listening, end every connection; stopping twice is no error."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def truth(self) -> dict[tuple[int, str], StateTruth]:
        """What the store holds, by (project id, name); not asked over HTTP."""
        return {key: self._with_rule(truth) for key, truth in self.store.truth().items()}

    def truth_of(self, project: int, name: str) -> StateTruth | None:
        """What the store holds for one state; None where no row has the name."""
        truth = self.store.truth_of(project, name)
        return None if truth is None else self._with_rule(truth)

    def rules(self, project: int) -> list[RuleRow]:
        """The protection rules of a project, oldest first, in force or not; not asked over HTTP."""
        return self._service.rules.of(project)

    def _with_rule(self, truth: StateTruth) -> StateTruth:
        return replace(truth, rule=self._service.rules.find(truth.project, truth.name))

    def arm(self, fault: Fault) -> None:
        """Add a fault while running."""
        self.faults.arm(fault)

    def exchanges(self) -> tuple[Exchange, ...]:
        """The last requests that were answered, oldest first."""
        return tuple(self._exchanges)

    def _answer(self, request: Request) -> Reply:
        if self._latency_seconds:
            time.sleep(self._latency_seconds)
        try:
            reply = build_reply(self._service, request)
        except Exception:  # noqa: BLE001 - GitLab answers any failure of its own with this, and so do we.
            reply = SERVER_ERROR
        self._exchanges.append(Exchange(request.method, request.path, reply.status))
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], connection: type[Connection]) -> None:
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, connection)

    def server_bind(self) -> None:
        # The base class asks a name server for our own name, which nobody needs.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair; nothing is printed."""

    def close_connections(self) -> None:
        """End every connection, and wait until the last request is answered."""
        with self._changed:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RD)
                except OSError:
                    # The client has ended it already.
                    continue
            self._changed.wait_for(lambda: not self._connections, timeout=DRAIN_SECONDS)
