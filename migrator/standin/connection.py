"""HTTP/1.1 on one connection: bytes -> Request, Reply -> bytes, as many times as the client likes.

Written for speed: no header objects, one write per small reply. Invariants: a body is read whole before the request is
answered, so that the connection stays in step; lines, headers and bodies are bounded; nothing is printed.
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable
from http import HTTPStatus

from migrator.standin.exchange import Reply, Request, build_message

LINE_LIMIT = 65_536
HEADER_LIMIT = 200
BODY_LIMIT = 2**30
CHUNK_LIMIT = 1_000_000
IDLE_SECONDS = 300.0
WITHOUT_BODY = (204, 304)
TOGETHER = 65_536

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class MalformedRequestError(Exception):
    """The bytes are not HTTP as we understand it; `status` says why the connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection(socketserver.StreamRequestHandler):
    """One client's connection; subclasses say what answers."""

    rbufsize = 65_536
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    answer: Callable[[Request], Reply]

    def handle(self) -> None:
        """Answer requests until the client leaves, sends nonsense, or asks for the end."""
        try:
            while self._serve_one():
                pass
        except MalformedRequestError as error:
            self._send(build_message(error.status, _REASONS[error.status]), head_only=False, close=True)
        except OSError:
            # The client is gone, or the server stops and closed the socket under us.
            return

    def finish(self) -> None:
        """Let go of the connection, which may be broken."""
        try:
            super().finish()
        except OSError:
            return

    def _serve_one(self) -> bool:
        """Answer one request; False when the connection should end."""
        line = self._read_line()
        if not line:
            return False
        method, target, protocol = _split_request_line(line)
        headers = self._read_headers()
        body = self._read_body(headers)
        path, _, query = target.partition("?")
        reply = self.answer(Request(method, path, query, headers, body))
        if reply.dropped:
            return False
        wish = headers.get("connection", "").lower()
        close = wish == "close" or (protocol == "HTTP/1.0" and wish != "keep-alive")
        self._send(reply, head_only=method == "HEAD", close=close)
        return not close

    def _read_line(self) -> str:
        line = self.rfile.readline(LINE_LIMIT + 1)
        if len(line) > LINE_LIMIT:
            raise MalformedRequestError(414)
        return line.decode("latin-1").rstrip("\r\n")

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(HEADER_LIMIT):
            line = self._read_line()
            if not line:
                return headers
            name, colon, value = line.partition(":")
            if not colon:
                raise MalformedRequestError(400)
            headers[name.lower()] = value.strip()
        raise MalformedRequestError(431)

    def _read_body(self, headers: dict[str, str]) -> bytes:
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 12:
            raise MalformedRequestError(400)
        if int(length) > BODY_LIMIT:
            raise MalformedRequestError(413)
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._read_chunks() if chunked else self._read_exactly(int(length))

    def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        total = 0
        for _ in range(CHUNK_LIMIT):
            size = _parse_chunk_size(self._read_line())
            total += size
            if total > BODY_LIMIT:
                raise MalformedRequestError(413)
            if size == 0:
                self._read_headers()  # Trailers are allowed, and say nothing to us.
                return b"".join(chunks)
            chunks.append(self._read_exactly(size))
            self._read_line()
        raise MalformedRequestError(413)

    def _read_exactly(self, size: int) -> bytes:
        body = self.rfile.read(size) if size else b""
        if len(body) < size:
            raise ConnectionResetError
        return body

    def _send(self, reply: Reply, *, head_only: bool, close: bool) -> None:
        head = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, '')}"]
        if reply.content_type:
            head.append(f"Content-Type: {reply.content_type}")
        if reply.status not in WITHOUT_BODY:
            head.append(f"Content-Length: {len(reply.body)}")
        head += [f"{name}: {value}" for name, value in reply.headers]
        if close:
            head.append("Connection: close")
        start = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        if head_only or not reply.body:
            self.connection.sendall(start)
        elif len(reply.body) <= TOGETHER:
            self.connection.sendall(start + reply.body)
        else:
            self.connection.sendall(start)
            self.connection.sendall(reply.body)


def _split_request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise MalformedRequestError(400)
    method, target, protocol = parts
    if "://" in target.partition("?")[0]:
        # The absolute form, as a proxy is asked.
        target = "/" + target.partition("://")[2].partition("/")[2]
    return method, target, protocol


def _parse_chunk_size(line: str) -> int:
    try:
        return int(line.partition(";")[0].strip(), 16)
    except ValueError:
        raise MalformedRequestError(400) from None
