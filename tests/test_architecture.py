"""The rules of the design as data, checked against what stands in the tree.

Each rule has two tests: one that it holds, and one (on invented source) that breaking it would be found.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
MODULES = sorted((TOP / "migrator").rglob("*.py"))

# Left may import right, never the other way; members of one layer never import each other.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"rehearsal"},
    {"report"},
    {"engine"},
    {"plan", "journal", "backends", "audit"},
    {"inventory"},
    {"rewrite", "state"},
    {"settings"},
    {"errors", "redact"},
)
# The stand-in is a program of its own: it knows nothing of ours, and only what starts servers may know it.
STANDIN_MAY_BE_IMPORTED_BY = {"cli", "rehearsal"}
# The engine drives any backend through its protocols and the value that these exchange; naming a concrete one is wiring.
ENGINE_SEES_OF_BACKENDS = {f"migrator.backends.{name}" for name in ("base", "lock_info")}

# Third-party library -> where it may be imported. A library that is not listed may be imported nowhere.
FENCES = {
    "requests": ("backends/gitlab_*.py",),
    "boto3": ("backends/s3*.py",),
    "botocore": ("backends/s3*.py",),
    "urllib3": ("backends/gitlab_*.py", "backends/s3*.py"),
    "hcl2": ("rewrite/locate_hcl.py",),
    "lark": ("rewrite/locate_hcl.py",),
    "tree_sitter_yaml": ("rewrite/*yaml*.py",),
    "markdown_it": ("rewrite/locate_markdown.py",),
    "tree_sitter": ("rewrite/*",),
    "tree_sitter_bash": ("rewrite/*",),
    "rich": ("report/*", "cli/*", "rehearsal/*"),
    "typer": ("cli/*",),
    "click": ("cli/*",),
    "moto": ("rehearsal/*",),
    "msgspec": ("*",),
}

# No I/O, no clock, no chance: these get bytes, times and identifiers passed in.
PURE = ("redact.py", "state/*", "rewrite/*", "plan/b*.py", "plan/f*.py", "journal/fold.py", "engine/status.py")
IMPURE_MODULES = {
    "asyncio", "fcntl", "getpass", "glob", "http", "io", "logging", "multiprocessing", "os", "random", "secrets", "shutil",
    "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
IMPURE_NAMES = {"pathlib": {"Path", "PosixPath", "WindowsPath"}}  # PurePosixPath is only a value
IMPURE_CALLS = {"open", "input", "print", "now", "utcnow", "today"}

LONGEST_MODULE = 400
VAGUE = {"util", "utils", "helper", "helpers", "manager", "handler", "handlers", "core", "common"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and for `from module import name` the name."""

    module: str
    name: str | None
    line: int


def read_imports(tree: ast.AST) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from (Import(node.module or "", alias.name, node.lineno) for alias in node.names)


def relative(path: Path) -> str:
    return path.relative_to(TOP / "migrator").as_posix()


def package_of(path: str) -> str:
    """The first part below migrator/: a package or a module."""
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


def targets_of(found: Import) -> set[str]:
    """What of ours an import reaches: `from migrator import plan` names its package last."""
    if found.module == "migrator" and found.name is not None:
        return {found.name}
    parts = found.module.split(".")
    return {parts[1]} if parts[0] == "migrator" and len(parts) > 1 else set()


def layer_of(package: str) -> int | None:
    return next((number for number, layer in enumerate(LAYERS) if package in layer), None)


def find_layer_breaches(path: str, tree: ast.AST) -> list[str]:
    package, breaches = package_of(path), []
    for found in read_imports(tree):
        for target in targets_of(found) - {package}:
            here, there = layer_of(package), layer_of(target)
            if target == "standin":
                allowed = package in STANDIN_MAY_BE_IMPORTED_BY
            elif target.startswith("__"):  # __version__
                allowed = True
            else:
                allowed = here is not None and there is not None and here < there
            if package == "engine" and target == "backends":
                seen = f"{found.module}.{found.name}" if found.module == "migrator.backends" else found.module
                allowed = seen in ENGINE_SEES_OF_BACKENDS
            if not allowed:
                breaches.append(f"{path}:{found.line}: {package} must not import {target} ({found.module})")
    return breaches


def find_fence_breaches(path: str, tree: ast.AST) -> list[str]:
    breaches = []
    for found in read_imports(tree):
        library = found.module.split(".")[0]
        if library == "migrator" or library in sys.stdlib_module_names:
            continue
        if not any(fnmatch(path, pattern) for pattern in FENCES.get(library, ())):
            breaches.append(
                f"{path}:{found.line}: {library} may be imported in {FENCES.get(library, 'no module')} only"
            )
    return breaches


def find_impurities(path: str, tree: ast.AST) -> list[str]:
    if not any(fnmatch(path, pattern) for pattern in PURE):
        return []
    impurities = []
    for found in read_imports(tree):
        whole = f"{found.module}.{found.name}"
        modules = {found.module, found.module.split(".")[0], whole}
        if modules & IMPURE_MODULES or found.name in IMPURE_NAMES.get(found.module, set()):
            impurities.append(f"{path}:{found.line}: a pure module must not import {whole}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in IMPURE_CALLS:
                impurities.append(f"{path}:{node.lineno}: a pure module must not call {called}()")
    return impurities


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.AST]:
    assert MODULES
    return {relative(path): ast.parse(path.read_text(), filename=str(path)) for path in MODULES}


def tracked_files() -> list[Path]:
    """What git tracks or would track; in a copy without git, every file."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        return [path for path in TOP.rglob("*") if path.is_file() and ".git" not in path.parts]
    return [path for name in listed.stdout.decode().split("\0") if name and (path := TOP / name).is_file()]


def test_imports_point_right(trees: dict[str, ast.AST]) -> None:
    assert [breach for path, tree in trees.items() for breach in find_layer_breaches(path, tree)] == []


def test_every_package_has_a_layer(trees: dict[str, ast.AST]) -> None:
    packages = {package_of(path) for path in trees} - {"__init__", "standin"}
    assert packages <= set().union(*LAYERS)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("state/relation.py", "from migrator.plan.model import Plan"),
        ("backends/s3.py", "import migrator.journal.log"),
        ("plan/build.py", "from migrator import backends"),
        ("errors.py", "from migrator.settings import Settings"),
        ("engine/runner.py", "from migrator.backends.s3 import S3Target"),
        ("engine/runner.py", "from migrator.backends import s3"),
        ("engine/runner.py", "from migrator.standin import service"),
        ("standin/service.py", "from migrator.errors import MigratorError"),
        ("report/text.py", "def f():\n    from migrator.cli import app"),
    ],
)
def test_a_left_pointing_import_is_found(path: str, source: str) -> None:
    assert find_layer_breaches(path, ast.parse(source))


def test_third_party_libraries_stay_behind_their_fences(trees: dict[str, ast.AST]) -> None:
    assert [breach for path, tree in trees.items() for breach in find_fence_breaches(path, tree)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/app.py", "import requests"),
        ("engine/runner.py", "from botocore.exceptions import ClientError"),
        ("inventory/stacks.py", "import hcl2"),
        ("engine/events.py", "from rich.console import Console"),
        ("state/snapshot.py", "import numpy"),
    ],
)
def test_a_library_outside_its_fence_is_found(path: str, source: str) -> None:
    assert find_fence_breaches(path, ast.parse(source))


def test_pure_modules_do_no_io_and_read_no_clock(trees: dict[str, ast.AST]) -> None:
    assert [impurity for path, tree in trees.items() for impurity in find_impurities(path, tree)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import os.path",
        "from pathlib import Path",
        "import uuid",
        "from time import monotonic",
        "from urllib.request import urlopen",
        "open('x')",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
    ],
)
def test_an_impurity_is_found(source: str) -> None:
    assert find_impurities("journal/fold.py", ast.parse(source))


def test_no_module_is_too_long() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_name_is_vague() -> None:
    roots = [TOP / name for name in ("migrator", "scripts", "tests")]
    names = [path for root in roots for path in root.rglob("*") if path.suffix in {".py", ".sh"}]
    stems = {path: {*path.stem.split("_"), *path.parent.name.split("_")} for path in names}
    assert [str(path) for path, words in stems.items() if words & VAGUE] == []


def test_every_module_says_what_it_is(trees: dict[str, ast.AST]) -> None:
    silent = [path for path, tree in trees.items() if isinstance(tree, ast.Module) and not ast.get_docstring(tree)]
    assert silent == []


# Split, so that this file does not hold what it forbids.
REGISTRY_HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "crates" + ".io/",
    "proxy.golang" + ".org",
    "sum.golang" + ".org",
    "npm" + "js.org",
    "repo1.maven" + ".org",
    "repo.maven.apache" + ".org",
    "deb.debian" + ".org",
]


def test_no_registry_address_and_no_path_of_this_machine_is_tracked() -> None:
    here = [f"{TOP}/", f"{TOP.parent}/shared", f"{Path.home()}/.cache"]
    forbidden = [text.encode() for text in [*REGISTRY_HOSTS, *here]]
    found = [
        f"{path.relative_to(TOP)}: {text.decode()}"
        for path in tracked_files()
        for content in [path.read_bytes()]
        for text in forbidden
        if text in content
    ]
    assert found == []
