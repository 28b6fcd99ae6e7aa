"""``python -m migrator.rehearsal.server``: one embedded server as a process of its own.

usage: server source CONFIGURATION | server target BUCKET

Listens on a free port of 127.0.0.1, prints ``listening on URL``, and ends when its standard input does: a rehearsal that
dies, however it dies, leaves no server behind. A process of its own, because a server in the rehearsal's threads would
compete with it for the interpreter.
"""

import logging
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

HOST = "127.0.0.1"


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends; the exit code."""
    kind, argument = arguments
    start = {"source": start_source, "target": start_target}[kind]
    try:
        url, stop = start(argument)
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    stop()
    return 0


def start_source(configuration: str) -> tuple[str, Callable[[], None]]:
    """Start the stand-in for GitLab; its URL, and what stops it.

    Raises: ValueError when the configuration is refused; OSError.
    """
    from migrator.standin import ConfigurationError, Standin, read_configuration

    try:
        standin = Standin(read_configuration(Path(configuration)))
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return standin.start(), standin.stop


def start_target(bucket: str) -> tuple[str, Callable[[], None]]:
    """Start moto's S3 server and make the bucket; its URL, and what stops it.

    Raises: ImportError without the extra ``rehearse``; OSError.
    """
    url, stop = start_moto()
    request = urllib.request.Request(f"{url}/{bucket}", method="PUT")  # noqa: S310 - our own server
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
        pass
    return url, stop


def start_moto() -> tuple[str, Callable[[], None]]:
    """Start moto's S3 server on a free port; its URL, and what stops it.

    Raises: ImportError without the extra ``rehearse``; OSError.
    """
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    # moto looks at a condition and acts on it later: of two requests at one moment both may win, as in no real store.
    listening = cast(Any, server)._server  # noqa: SLF001 - moto offers no other way to the application
    listening.app = _OneAtATime(listening.app)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}", server.stop


class _OneAtATime:
    """A WSGI application whose requests wait for each other."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._turn = threading.Lock()

    def __call__(self, *arguments: Any) -> Iterable[bytes]:
        with self._turn:
            return self._application(*arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
