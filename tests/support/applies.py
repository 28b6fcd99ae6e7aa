"""An apply of somebody, stopped where it waits for its operator: it holds the lock then."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.estate_lab import finish, start


def begin_apply(
    client: Path, *arguments: str, directory: Path, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start ``tofu apply`` and return when it asks; ``finish(process, "yes\\n")`` answers."""
    command: Sequence[str] = [str(client), "apply", "-no-color", *arguments]
    process = start(command, directory, {**environment, "TF_INPUT": "1"})
    seen = ""
    assert process.stdout is not None
    while "Enter a value" not in seen:
        letter = process.stdout.read(1)
        assert letter, f"it ended before it asked: {seen}{finish(process).text}"
        seen += letter
    return process
