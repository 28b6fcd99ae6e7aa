"""Which program proves: found, vouched for, and new enough.

``migrator.toml`` and a plan come with a repository, and ``plan`` must run nothing that a repository brings. So what these
name is run only if it is called tofu or terraform and lies elsewhere; any other program is named by the operator, in
``$TOFU`` or on PATH.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from migrator.errors import ConfigurationError, RefusedError
from migrator.settings import Settings

OLDEST_TOFU = (1, 10)
_NAMES = ("tofu", "terraform")
_CALLED = re.compile(r"(?:open)?tofu|terraform")  # and any version behind it: tofu-1.10, terraform_1.9


def find_tofu(configured: str, environment: Mapping[str, str]) -> str | None:
    """Return the program that proves: the configured one, then $TOFU, then PATH; None when there is none."""
    if configured not in _NAMES:
        return shutil.which(configured)
    return shutil.which(environment.get("TOFU") or configured)


def find_proving_program(settings: Settings, environment: Mapping[str, str], root: Path) -> str:
    """Return the path of a program that is new enough for the s3 backend's own lock.

    Raises: ConfigurationError, RefusedError.
    """
    configured = settings.tools.tofu
    program = find_tofu(configured, environment)
    if program is None:
        raise ConfigurationError(
            f"the proof by plan needs {configured}, which was not found",
            where="migrator.toml, [tools] tofu; then TOFU and PATH",
            now="nothing was touched",
            hint='install OpenTofu >= 1.10, or set TOFU, or weaken the proof: [proof] plan = "off"',
        )
    check_program(program, environment, root, where="migrator.toml, [tools] tofu")
    _check_version(program, {name: value for name, value in environment.items() if name not in _secrets_of(settings)})
    return str(Path(program).absolute())


def check_program(program: str, environment: Mapping[str, str], root: Path, *, where: str) -> None:
    """Check that a program may be run although a file of the repository, or a plan, names it.

    Raises: RefusedError.
    """
    path = Path(program).absolute()
    if path in {Path(found).absolute() for name in _NAMES if (found := find_tofu(name, environment))}:
        return
    inside = any(one.is_relative_to(root.resolve()) for one in (path, path.resolve()))
    if inside or not _CALLED.match(path.name):
        reason = "lies in the repository" if inside else "is not called tofu or terraform"
        raise RefusedError(
            f"{program} {reason}, so a file that came with the repository does not decide that it is run",
            where=where,
            now="nothing was touched, and the program was not run",
            hint='look at the program; to run it: tofu = "tofu" in [tools], export TOFU=..., then: migrator plan',
        )


def _check_version(program: str, environment: Mapping[str, str]) -> None:
    try:
        result = subprocess.run([program, "version"], capture_output=True, env=dict(environment), check=False)
        said = result.stdout.decode(errors="replace")
    except OSError as error:
        said = error.strerror or ""
    version = re.search(r"v(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_TOFU:
        found = version[0] if version else "no version"
        raise ConfigurationError(
            f"{program} is {found}; the lock of the s3 backend (use_lockfile) needs 1.10 or newer",
            where=program,
            now="nothing was touched",
            hint="install OpenTofu >= 1.10, or name another program in [tools] tofu",
        )


def _secrets_of(settings: Settings) -> set[str | None]:
    """Which version a program is, it can say without any of the credentials."""
    target = settings.target
    return {settings.source.token_env, target.access_key_env, target.secret_key_env, target.session_token_env}
