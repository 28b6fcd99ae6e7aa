"""A reverse proxy that does to chosen requests what networks and load balancers do.

    with FaultProxy(server.endpoint) as proxy:
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="PUT", path=".tflock"))

A fault strikes the next ``times`` requests that its method and path (a regular expression) match; everything else passes unchanged, the
Host header included, so that signed requests stay valid. ``seen`` records method and path of every request.
"""

import http.client
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Effect(Enum):
    COMMIT_THEN_DROP = auto()  # forwarded, then the connection closes without an answer
    COMMIT_THEN_ANSWER = auto()  # forwarded, then the fault's own answer
    DROP = auto()  # closes without forwarding
    ANSWER = auto()  # the fault's own answer without forwarding
    TWICE = auto()  # forwarded twice, the second answer is passed on (a proxy that repeats)
    TRUNCATE = auto()  # half of the body, then closes
    SLOW = auto()  # `seconds` of silence before the answer


@dataclass
class Fault:
    effect: Effect
    method: str = ""
    path: str = ""
    times: int = 1
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0


class FaultProxy:
    """``certificate``: a PEM file with certificate and key; the proxy speaks TLS then."""

    def __init__(self, upstream: str, *, certificate: Path | None = None) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._faults: list[Fault] = []
        self._mutex = threading.Lock()
        self.seen: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                proxy._handle(self)
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

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def inject(self, *faults: Fault) -> None:
        with self._mutex:
            self._faults.extend(faults)

    def count(self, method: str, path: str = "") -> int:
        return sum(1 for seen_method, seen_path in self.seen if seen_method == method and re.search(path, seen_path))

    def _take_fault(self, method: str, path: str) -> Fault | None:
        with self._mutex:
            self.seen.append((method, path))
            for fault in self._faults:
                if fault.times > 0 and fault.method in {"", method} and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self._take_fault(handler.command, urlsplit(handler.path).path)
        effect = fault.effect if fault else None
        if effect is Effect.SLOW:
            time.sleep(fault.seconds)
        if effect not in {Effect.DROP, Effect.ANSWER}:
            status, headers, answer = self._forward(handler, body)
        if effect is Effect.TWICE:
            status, headers, answer = self._forward(handler, body)
        if effect in {Effect.DROP, Effect.COMMIT_THEN_DROP}:
            handler.close_connection = True
            return
        if effect in {Effect.ANSWER, Effect.COMMIT_THEN_ANSWER}:
            status, headers, answer = fault.status, list(fault.headers.items()), fault.body
        handler.send_response_only(status)
        for name, value in headers:
            if name.casefold() not in _HOP_HEADERS:
                handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        if effect is Effect.TRUNCATE:
            answer = answer[: len(answer) // 2]
            handler.close_connection = True
        handler.wfile.write(answer)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self._upstream, timeout=30)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                if name.casefold() not in {"connection", "expect"}:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()
