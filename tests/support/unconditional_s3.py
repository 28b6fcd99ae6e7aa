"""S3 stores that break their promises, each in one way that real stores were seen to break them. In memory, path style.

``Flaw.NONE`` keeps them all: the control that the other verdicts are measured against.
"""

import hashlib
import re
import threading
import time
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit


class Flaw(Enum):
    NONE = auto()
    IGNORES_CONDITIONS = auto()  # 200 whatever stands there
    CHECKS_THEN_ACTS = auto()  # right one by one, several winners in a race
    REFUSES_AFTER_DELETE = auto()  # 412 over what was deleted: a lock works once
    REFUSES_IF_MATCH = auto()  # DELETE with If-Match is 412 even with the right ETag
    NO_CONDITIONS = auto()  # 501 on If-None-Match


class FlawedS3:
    """``with FlawedS3(Flaw.NONE) as store: store.url``; ``store.objects`` maps keys (without bucket) to bytes."""

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw
        self.objects: dict[str, bytes] = {}
        self._deleted: set[str] = set()
        self._mutex = threading.Lock()
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                if query.get("list-type"):
                    self._answer(*store._list(query.get("prefix", [""])[0]))
                else:
                    self._answer(*store._get(self._key()))

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer(*store._put(self._key(), body, conditional="If-None-Match" in self.headers))

            def do_DELETE(self) -> None:
                self._answer(*store._delete(self._key(), self.headers.get("If-Match")))

            def _key(self) -> str:
                parts = urlsplit(self.path)
                return "?" + parts.query if parts.query == "versioning" else unquote(parts.path).split("/", 2)[2]

            def _answer(self, status: int, body: bytes = b"", etag: str = "") -> None:
                self.send_response_only(status)
                if etag:
                    self.send_header("ETag", etag)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _get(self, key: str) -> tuple[int, bytes, str]:
        if key == "?versioning":
            return 200, b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>', ""
        if key not in self.objects:
            return 404, _error("NoSuchKey"), ""
        return 200, self.objects[key], _etag(self.objects[key])

    def _list(self, prefix: str) -> tuple[int, bytes, str]:
        found = "".join(
            f"<Contents><Key>{key}</Key><ETag>{_etag(data).replace(chr(34), '&quot;')}</ETag></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return 200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode(), ""

    def _put(self, key: str, body: bytes, *, conditional: bool) -> tuple[int, bytes, str]:
        if conditional and self.flaw is Flaw.NO_CONDITIONS:
            return 501, _error("NotImplemented"), ""
        if self.flaw is Flaw.CHECKS_THEN_ACTS:
            taken = key in self.objects
            time.sleep(0.05)
            return self._store(key, body, refuse=conditional and taken)
        with self._mutex:
            taken = key in self.objects or (self.flaw is Flaw.REFUSES_AFTER_DELETE and key in self._deleted)
            return self._store(key, body, refuse=conditional and taken and self.flaw is not Flaw.IGNORES_CONDITIONS)

    def _store(self, key: str, body: bytes, *, refuse: bool) -> tuple[int, bytes, str]:
        if refuse:
            return 412, _error("PreconditionFailed"), ""
        self.objects[key] = body
        return 200, b"", _etag(body)

    def _delete(self, key: str, if_match: str | None) -> tuple[int, bytes, str]:
        with self._mutex:
            obeys = if_match is not None and self.flaw is not Flaw.IGNORES_CONDITIONS
            if obeys and (self.flaw is Flaw.REFUSES_IF_MATCH or if_match != _etag(self.objects.get(key, b""))):
                return 412, _error("PreconditionFailed"), ""
            self.objects.pop(key, None)
            self._deleted.add(key)
            return 204, b"", ""


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _error(code: str) -> bytes:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", code).lower()
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{words}</Message></Error>".encode()
