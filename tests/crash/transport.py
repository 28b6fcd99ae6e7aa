"""The servers, called instead of connected to: the same programs, and a third of the time that sockets and threads would take.

A request goes from urllib3's pool to the stand-in's ``answer`` or to moto's WSGI application, in the caller's thread, and what
they answer comes back as urllib3's response. Set-up and everything outside of the effect layer uses real connections.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3 import HTTPHeaderDict, HTTPResponse

from migrator.standin import Standin
from migrator.standin.exchange import Request

Send = Callable[[str, str, Mapping[str, str], bytes], HTTPResponse]


def call_standin(standin: Standin) -> Send:
    def send(method: str, target: str, headers: Mapping[str, str], body: bytes) -> HTTPResponse:
        path, _, query = target.partition("?")
        lower = {name.lower(): value for name, value in headers.items()}
        reply = standin._answer(Request(method, path, query, lower, body))
        assert not reply.dropped, "a fault that drops connections needs a connection"
        kind = {"Content-Type": reply.content_type} if reply.content_type else {}
        return _build_response(method, reply.status, [*kind.items(), *reply.headers], reply.body)

    return send


def call_moto(endpoint: str) -> Send:
    from moto.server import DomainDispatcherApplication, create_backend_app

    application = DomainDispatcherApplication(create_backend_app)
    address = urlsplit(endpoint)

    def send(method: str, target: str, headers: Mapping[str, str], body: bytes) -> HTTPResponse:
        answered: list[Any] = []
        environ = _build_environ(method, target, headers, body) | {
            "HTTP_HOST": address.netloc,
            "SERVER_NAME": address.hostname,
            "SERVER_PORT": str(address.port),
        }
        parts: Iterable[bytes] = application(environ, lambda *answer: answered.extend(answer))
        data = b"".join(parts)
        return _build_response(method, int(answered[0].split()[0]), answered[1], data)

    return send


def _build_environ(method: str, target: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    path, _, query = target.partition("?")
    sent = {f"HTTP_{name.upper().replace('-', '_')}": _text(value) for name, value in headers.items()}
    return sent | {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": sent.get("HTTP_CONTENT_TYPE", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _build_response(method: str, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> HTTPResponse:
    return HTTPResponse(
        body=io.BytesIO(b"" if method == "HEAD" else body),
        headers=HTTPHeaderDict(headers),
        status=status,
        version=11,
        preload_content=False,
        request_method=method,
    )


def read_body(body: Any) -> bytes:
    """What a client would send: bytes, text, a file, or nothing."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else bytes(body.read())


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
