"""An operator's shell on the copy: the real commands as child processes, in an environment that holds nothing real.

The environment is built from nothing: a search path, a home of its own, the invented credentials of the embedded servers,
and proxies that lead nowhere, so that no program started here can reach more than 127.0.0.1.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import migrator
from migrator.errors import ConfigurationError
from migrator.rehearsal.model import Transcript

TIMEOUT_SECONDS = 900.0
OLDEST_TOFU = (1, 10)
# So that output, indented by a narrator, fits 100 columns.
COLUMNS = 96
_KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
# Discard: whoever asks this proxy is refused at once. Loopback is excepted.
_NOWHERE = "http://127.0.0.1:9"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tofu:
    """A program that can take part: its path, and how it calls itself."""

    program: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs programs in ``directory`` with exactly ``environment``."""

    directory: Path
    environment: Mapping[str, str]

    def migrator(self, *arguments: str) -> Transcript:
        """Run a command of this program."""
        return self.run([sys.executable, "-m", "migrator", *arguments], typed=shlex.join(["migrator", *arguments]))

    def run(self, command: list[str], *, typed: str, more: Mapping[str, str] | None = None) -> Transcript:
        """Run any program; ``more`` is added to the environment.

        Raises: ConfigurationError when it cannot be started or does not end.
        """
        began = time.monotonic()
        try:
            result = subprocess.run(
                command,
                cwd=self.directory,
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except OSError as error:
            raise ConfigurationError(f"{command[0]} cannot be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise ConfigurationError(f"`{typed}` did not end within {TIMEOUT_SECONDS:.0f} s") from None
        return Transcript(
            typed=typed,
            exit_code=result.returncode,
            output=_COLOURS.sub("", result.stdout.decode(errors="replace")),
            seconds=time.monotonic() - began,
        )


def build_python_environment(outside: Mapping[str, str]) -> dict[str, str]:
    """Return what a child Python needs to find this very package, and nothing else of ``outside``."""
    return {
        **{name: outside[name] for name in _KEPT if name in outside},
        "PYTHONPATH": str(Path(migrator.__file__).resolve().parents[1]),
        "PYTHONSAFEPATH": "1",
        "LC_ALL": "C.UTF-8",
    }


def build_clean_environment(outside: Mapping[str, str], *, home: Path) -> dict[str, str]:
    """Return an environment without any credential, for programs that live in ``home``."""
    proxies = {
        name: _NOWHERE for proxy in ("http_proxy", "https_proxy", "all_proxy") for name in (proxy, proxy.upper())
    }
    return {
        **build_python_environment(outside),
        **proxies,
        "no_proxy": "127.0.0.1",
        "NO_PROXY": "127.0.0.1",
        "HOME": str(home),
        "TMPDIR": str(home),
        "NO_COLOR": "1",
        "COLUMNS": str(COLUMNS),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": os.devnull,
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(home.parent),
    }


def examine_tofu(program: str | None, environment: Mapping[str, str]) -> Tofu | str:
    """Return the program if it can take part, else the reason why it cannot."""
    if program is None:
        return "no tofu and no terraform was found (set TOFU, or put one on PATH)"
    try:
        result = subprocess.run(
            [program, "version"], capture_output=True, text=True, env=dict(environment), timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{program} cannot be run"
    found = re.search(r"^(\S+) v((\d+)\.(\d+)\S*)", result.stdout)
    if found is None:
        return f"{program} does not say which version it is"
    if (int(found[3]), int(found[4])) < OLDEST_TOFU:
        return f"{found[1]} {found[2]} has no lock for the s3 backend (1.10 or newer has)"
    return Tofu(program=program, version=f"{found[1]} {found[2]}")
