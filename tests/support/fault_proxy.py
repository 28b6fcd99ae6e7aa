"""A reverse proxy that does to chosen requests what networks, load balancers and caches do.

    with FaultProxy(server.endpoint) as proxy:
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="PUT", path=".tflock"))

A fault lets the first ``after`` requests pass that its method and path (regular expressions) match, strikes the next ``times`` of
them (None: until ``clear``), and counts in ``struck``; everything else passes unchanged, the Host header included, so that signed
requests stay valid. ``seen`` records method and path of every request; ``listen`` is called with method, path and status when the
server has done what it was asked, before the client hears of it.

Faults of the handshake (``Effect.GARBAGE``, ``Effect.STRANGE_CERTIFICATE``) strike connections: injecting one ends those that
stand, and from then on each carries one request, so that the k-th request is the k-th connection.
"""

import http.client
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_NO_SUCH_KEY = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>the key does not exist</Message></Error>"

Answer = tuple[int, list[tuple[str, str]], bytes]
_ABSENT: Answer = (404, [("Content-Type", "application/xml")], _NO_SUCH_KEY)


class Effect(Enum):
    PASS = auto()  # forwarded and answered, but for what `strip` and `act` change
    COMMIT_THEN_DROP = auto()  # forwarded, then the connection closes without an answer
    COMMIT_THEN_ANSWER = auto()  # forwarded, then the fault's own answer
    COMMIT_THEN_GARBAGE = auto()  # forwarded, then bytes that are no answer, and no TLS either
    DROP = auto()  # closes without forwarding
    ANSWER = auto()  # the fault's own answer without forwarding
    TWICE = auto()  # forwarded twice, the second answer is passed on (a proxy that repeats)
    TRUNCATE = auto()  # half of the body, then closes
    FLIP = auto()  # one bit of the body is another one: in the last byte that `find` finds there, else in the middle
    STALE = auto()  # a GET is answered as it would have been before the last write to its path
    SLOW = auto()  # `seconds` of silence before the answer
    GARBAGE = auto()  # the handshake of a connection is answered with bytes that are no TLS
    STRANGE_CERTIFICATE = auto()  # ... with the certificate of somebody else


_OF_THE_HANDSHAKE = {Effect.GARBAGE, Effect.STRANGE_CERTIFICATE}
_NOT_FORWARDED = {Effect.DROP, Effect.ANSWER, Effect.STALE}


@dataclass
class Fault:
    """``act`` is called before the request is forwarded; ``strip`` names headers of the request that are not, ``hide``
    those of the answer that the client does not see.
    """

    effect: Effect
    method: str = ""
    path: str = ""
    times: int | None = 1
    after: int = 0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    strip: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    find: bytes = b""
    act: Callable[[], None] = lambda: None
    struck: int = 0
    _seen: int = 0

    def matches(self, method: str, path: str) -> bool:
        return bool(re.match(self.method, method) and re.search(self.path, path))

    def count(self) -> bool:
        """Count one matching request; whether the fault strikes it."""
        self._seen += 1
        strikes = self._seen > self.after and (self.times is None or self.struck < self.times)
        self.struck += strikes
        return strikes


class FaultProxy:
    """``certificate``: a PEM file with certificate and key; the proxy speaks TLS then. ``strange``: another one."""

    def __init__(self, upstream: str, *, certificate: Path | None = None, strange: Path | None = None) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._faults: list[Fault] = []
        self._mutex = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._answers: dict[str, Answer] = {}  # the last answer to GET, by path
        self._before: dict[str, Answer] = {}  # the one that the last write made stale
        self._contexts = [_build_context(path) for path in (certificate, strange) if path]
        self.seen: list[tuple[str, str]] = []
        self.listen: Callable[[str, str, int], None] = lambda method, path, status: None
        self._server = self._build_server()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def inject(self, *faults: Fault) -> None:
        with self._mutex:
            self._faults.extend(faults)
            standing = list(self._connections) if _OF_THE_HANDSHAKE & {fault.effect for fault in faults} else []
        for connection in standing:
            connection.shutdown(socket.SHUT_RDWR)

    def clear(self) -> None:
        """Take every fault away."""
        with self._mutex:
            self._faults.clear()

    def remember(self) -> tuple[dict[str, Answer], dict[str, Answer]]:
        """What stale answers are made of; ``recall`` goes back to it."""
        with self._mutex:
            return dict(self._answers), dict(self._before)

    def recall(self, memory: tuple[dict[str, Answer], dict[str, Answer]]) -> None:
        with self._mutex:
            self._answers, self._before = dict(memory[0]), dict(memory[1])

    def is_stale(self, path: str) -> bool:
        """Whether there is an earlier answer to a GET of this path."""
        with self._mutex:
            return path in self._before

    def count(self, method: str, path: str = "") -> int:
        return sum(1 for seen_method, seen_path in self.seen if seen_method == method and re.search(path, seen_path))

    def _take_fault(self, method: str, path: str) -> Fault | None:
        with self._mutex:
            self.seen.append((method, path))
            faults = (one for one in self._faults if one.matches(method, path) and self._may_strike(one, method, path))
            return next((fault for fault in faults if fault.count()), None)

    def _may_strike(self, fault: Fault, method: str, path: str) -> bool:
        if fault.effect is Effect.STALE:
            return method == "GET" and path in self._before
        return fault.effect not in _OF_THE_HANDSHAKE

    def _take_fault_of_connection(self) -> tuple[Fault | None, bool]:
        """The fault that strikes a new connection, and whether it may carry one request only."""
        with self._mutex:
            faults = [one for one in self._faults if one.effect in _OF_THE_HANDSHAKE]
            return next((fault for fault in faults if fault.count()), None), bool(faults)

    # -- one connection ----------------------------------------------------------------------------------------------

    def _build_server(self) -> ThreadingHTTPServer:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                fault, self.only_one = proxy._take_fault_of_connection()
                self.request = proxy._wrap(self.request, fault)
                proxy._connections.add(self.request)
                self.upstream: http.client.HTTPConnection | None = None
                super().setup()

            def connect(self) -> http.client.HTTPConnection:
                """The connection to the server: one for each of the client's, unless the server has closed it."""
                if self.upstream and self.upstream.sock and not select.select([self.upstream.sock], [], [], 0)[0]:
                    return self.upstream
                self.disconnect()
                self.upstream = http.client.HTTPConnection(*proxy._upstream, timeout=30)
                return self.upstream

            def disconnect(self) -> None:
                if self.upstream:
                    self.upstream.close()

            def finish(self) -> None:
                super().finish()
                self.disconnect()
                proxy._connections.discard(self.request)
                self.request.close()

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                proxy._handle(self)
                self.close_connection |= self.only_one
                self.wfile.flush()

            def handle_expect_100(self) -> bool:
                proceed = super().handle_expect_100()
                self.wfile.flush()
                return proceed

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that went away is what some tests are about

        return Server(("127.0.0.1", 0), Handler)

    def _wrap(self, raw: socket.socket, fault: Fault | None) -> socket.socket:
        if not self._contexts:
            return raw
        if fault and fault.effect is Effect.GARBAGE:
            raw.recv(65536)  # the client's greeting
            raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        context = self._contexts[-1 if fault and fault.effect is Effect.STRANGE_CERTIFICATE else 0]
        return context.wrap_socket(raw, server_side=True)  # an OSError ends this connection, and nothing else

    # -- one request -------------------------------------------------------------------------------------------------

    def _handle(self, handler: Any) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        method, path = handler.command, urlsplit(handler.path).path
        fault = self._take_fault(method, path)
        effect = fault.effect if fault else Effect.PASS
        if fault:
            fault.act()
            time.sleep(fault.seconds)
        answer: Answer = (0, [], b"")
        if effect not in _NOT_FORWARDED:
            answer = self._forward(handler, body, strip=fault.strip if fault else ())
            self._remember(method, path, answer)
        if effect is Effect.TWICE:
            answer = self._forward(handler, body)
        self.listen(method, path, answer[0])
        if effect in {Effect.DROP, Effect.COMMIT_THEN_DROP}:
            handler.close_connection = True
        elif effect is Effect.COMMIT_THEN_GARBAGE:
            _send_garbage(handler)
        else:
            self._answer(handler, self._change(answer, fault, path) if fault else answer, effect)

    def _change(self, answer: Answer, fault: Fault, path: str) -> Answer:
        if fault.effect in {Effect.ANSWER, Effect.COMMIT_THEN_ANSWER}:
            return fault.status, list(fault.headers.items()), fault.body
        if fault.effect is Effect.STALE:
            return self._before[path]
        status, headers, body = answer
        headers = [(name, value) for name, value in headers if name.casefold() not in fault.hide]
        if fault.effect is Effect.FLIP and status == 200 and body:
            body = _flip(body, fault.find)
        return status, headers, body

    def _remember(self, method: str, path: str, answer: Answer) -> None:
        with self._mutex:
            if method == "GET":
                self._answers[path] = answer
            elif answer[0] < 300:
                # A path that nobody read before its first write was free.
                self._before[path] = self._answers.pop(path, None) or self._before.get(path, _ABSENT)

    def _answer(self, handler: Any, answer: Answer, effect: Effect) -> None:
        status, headers, body = answer
        handler.send_response_only(status)
        for name, value in headers:
            if name.casefold() not in _HOP_HEADERS:
                handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", str(len(body)))
        if handler.only_one:
            handler.send_header("Connection", "close")
        handler.end_headers()
        if effect is Effect.TRUNCATE:
            body = body[: len(body) // 2]
            handler.close_connection = True
        handler.wfile.write(body)

    def _forward(self, handler: Any, body: bytes, *, strip: tuple[str, ...] = ()) -> Answer:
        dropped = {"connection", "expect", *(name.casefold() for name in strip)}
        connection = handler.connect()
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.casefold() not in dropped:
                connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()


def _flip(body: bytes, find: bytes) -> bytes:
    found = re.search(find, body) if find else None
    place = found.end() - 1 if found else len(body) // 2
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


def _build_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _send_garbage(handler: Any) -> None:
    """Write below TLS, where there is TLS: what the client reads then is no record of it."""
    descriptor = socket.socket(fileno=handler.request.detach())
    descriptor.sendall(b"garbage that nobody can read\r\n" * 4)
    descriptor.close()
    handler.close_connection = True
