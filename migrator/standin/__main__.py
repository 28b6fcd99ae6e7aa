"""`python -m migrator.standin`: the stand-in as a process of its own.

Prints one line, `listening on http://127.0.0.1:PORT`, and nothing more; ends on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from migrator.standin.configuration import ConfigurationError, read_configuration
from migrator.standin.server import Standin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal ends it; the exit code."""
    options = _parse(arguments)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        standin = Standin(
            read_configuration(options.config),
            options.storage,
            port=options.port,
            latency_seconds=options.latency_ms / 1000,
        )
        base_url = standin.start()
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"error: cannot start: {error}\n")
        return 6
    sys.stdout.write(f"listening on {base_url}\n")
    sys.stdout.flush()
    stopped.wait()
    standin.stop()
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m migrator.standin", description="A stand-in for GitLab's state API."
    )
    parser.add_argument("--config", type=Path, required=True, help="configuration, JSON (format gitlab-standin/1)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--storage", type=Path, help="directory that keeps everything; default: memory")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="sleep before each reply")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
