"""Configuration of the stand-in: the JSON document `gitlab-standin/1`.

Invariants: unknown keys are errors; every message names the place (`states[2].versions[0].file`); all values are frozen.
File paths are relative to the configuration file. Deliberately not here: what the values mean on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from migrator.standin.document import InvalidDocumentError, read_serial

FORMAT = "gitlab-standin/1"
FAULT_MODES = frozenset("abcdefghijklmn")
LASTING_MODES = frozenset("imn")
ACCESS_LEVELS = {"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50, "admin": 60}
RULE_LEVELS = ("developer", "maintainer", "owner", "admin")
PLACES = ("anywhere", "ci_only", "ci_on_protected_branch_only")

T = TypeVar("T")


class ConfigurationError(Exception):
    """The configuration cannot be used; the message names the place and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `max_state_bytes` 0 means unlimited."""

    id: int
    path: str
    old_paths: tuple[str, ...] = ()
    infrastructure_enabled: bool = True
    max_state_bytes: int = 0
    archived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A credential; `roles` maps a project id to a key of ACCESS_LEVELS. Only running job tokens are valid."""

    value: str
    kind: str = "pat"
    user: str
    scopes: frozenset[str] = frozenset({"api"})
    roles: Mapping[int, str]
    expired: bool = False
    revoked: bool = False
    running: bool = True

    def access_level(self, project_id: int) -> int:
        """The numeric access level in a project; 0 where the user is no member."""
        return ACCESS_LEVELS.get(self.roles.get(project_id, ""), 0)

    def __repr__(self) -> str:
        return f"Token(kind={self.kind!r}, user={self.user!r})"


@dataclass(frozen=True, slots=True)
class SeededVersion:
    """One version that exists from the start; `serial` is read from `content`."""

    serial: int
    content: bytes


@dataclass(frozen=True, slots=True)
class SeededLock:
    """A lock that is held from the start; without an id one is drawn, as GitLab's user interface does."""

    user: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededState:
    """One state that exists from the start; `missing_file` takes the file of the newest version away."""

    project: int
    name: str
    versions: tuple[SeededVersion, ...] = ()
    locked_by: SeededLock | None = None
    deleted: bool = False
    missing_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionRule:
    """A rule that exists from the start: who may write a state (RULE_LEVELS), and from where (PLACES)."""

    project: int
    state_name: str
    minimum_access_level_for_write: str
    allowed_from: str = "anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault: skips the first `after` matching requests, then strikes `times` times (None: for ever).

    `state` None matches every request that the mode looks at. `variant` is for mode `a` only: `status` answers 500,
    `drop` closes the connection.
    """

    mode: str
    state: str | None = None
    after: int = 0
    times: int | None = 1
    variant: str = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything the stand-in knows before its first request. `protection_rules` None: the feature is off."""

    projects: tuple[Project, ...] = ()
    tokens: tuple[Token, ...] = ()
    states: tuple[SeededState, ...] = ()
    protection_rules: tuple[ProtectionRule, ...] | None = None
    faults: tuple[Fault, ...] = ()


def read_configuration(path: Path) -> Configuration:
    """Read and check a configuration file and the state files it names.

    Raises: ConfigurationError.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not JSON: {error}") from error
    return parse_configuration(document, path.parent)


def parse_configuration(document: object, directory: Path = Path()) -> Configuration:
    """Check a configuration document; `directory` anchors its relative file paths, which are read here.

    Raises: ConfigurationError.
    """
    table = _Table(document, "configuration")
    if table.take("format", str) != FORMAT:
        raise ConfigurationError(f'configuration.format: expected "{FORMAT}"')
    rules = table.take("protection_rules", list, default=None)
    configuration = Configuration(
        projects=_parse_each(table.take("projects", list, default=[]), "projects", _parse_project),
        tokens=_parse_each(table.take("tokens", list, default=[]), "tokens", _parse_token),
        states=_parse_each(
            table.take("states", list, default=[]), "states", lambda entry: _parse_state(entry, directory)
        ),
        protection_rules=None if rules is None else _parse_each(rules, "protection_rules", _parse_rule),
        faults=_parse_each(table.take("faults", list, default=[]), "faults", _parse_fault),
    )
    table.finish()
    _check_references(configuration)
    return configuration


class _Table:
    """A JSON object that is taken apart key by key; what is left over at the end is an error."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise ConfigurationError(f"{where}: expected an object")
        self._left: dict[str, Any] = dict(document)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], **default: Any) -> Any:
        """The value of a key, of that type (null too, where the default is None)."""
        if key not in self._left:
            if "default" in default:
                return default["default"]
            raise ConfigurationError(f"{self.where}.{key}: is missing")
        value = self._left.pop(key)
        if value is None and default.get("default", "") is None:
            return None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(each.__name__ for each in kinds)
            raise ConfigurationError(f"{self.where}.{key}: expected {expected}")
        return value

    def choose(self, key: str, allowed: Iterable[str], **default: Any) -> Any:
        """The value of a key that must be one of `allowed`."""
        value = self.take(key, str, **default)
        if value is not None and value not in allowed:
            raise ConfigurationError(f"{self.where}.{key}: expected one of {', '.join(sorted(allowed))}")
        return value

    def texts(self, key: str, default: list[str]) -> tuple[str, ...]:
        """The value of a key that is a list of strings."""
        values = self.take(key, list, default=default)
        if not all(isinstance(value, str) for value in values):
            raise ConfigurationError(f"{self.where}.{key}: expected a list of strings")
        return tuple(values)

    def finish(self) -> None:
        if self._left:
            raise ConfigurationError(f"{self.where}.{min(self._left)}: unknown key")


def _parse_each(entries: list[object], where: str, parse: Callable[[_Table], T]) -> tuple[T, ...]:
    parsed = []
    for index, entry in enumerate(entries):
        table = _Table(entry, f"{where}[{index}]")
        parsed.append(parse(table))
        table.finish()
    return tuple(parsed)


def _parse_project(table: _Table) -> Project:
    return Project(
        id=table.take("id", int),
        path=table.take("path", str),
        old_paths=table.texts("old_paths", []),
        infrastructure_enabled=table.take("infrastructure_enabled", bool, default=True),
        max_state_bytes=table.take("max_state_bytes", int, default=0),
        archived=table.take("archived", bool, default=False),
    )


def _parse_token(table: _Table) -> Token:
    roles = table.take("roles", dict, default={})
    for project, role in roles.items():
        if not project.isdigit() or role not in ACCESS_LEVELS:
            raise ConfigurationError(
                f"{table.where}.roles.{project}: expected a project id and one of {', '.join(sorted(ACCESS_LEVELS))}"
            )
    return Token(
        value=table.take("value", str),
        kind=table.choose("kind", ("pat", "job", "deploy"), default="pat"),
        user=table.take("user", str),
        scopes=frozenset(table.texts("scopes", ["api"])),
        roles={int(project): role for project, role in roles.items()},
        expired=table.take("expired", bool, default=False),
        revoked=table.take("revoked", bool, default=False),
        running=table.take("running", bool, default=True),
    )


def _parse_state(table: _Table, directory: Path) -> SeededState:
    versions = _parse_each(
        table.take("versions", list, default=[]),
        f"{table.where}.versions",
        lambda entry: _parse_version(entry, directory),
    )
    if len({version.serial for version in versions}) != len(versions):
        raise ConfigurationError(f"{table.where}.versions: two versions have the same serial")
    return SeededState(
        project=table.take("project", int),
        name=table.take("name", str),
        versions=versions,
        locked_by=_parse_lock(table),
        deleted=table.take("deleted", bool, default=False),
        missing_file=table.take("missing_file", bool, default=False),
    )


def _parse_version(table: _Table, directory: Path) -> SeededVersion:
    file, text = table.take("file", str, default=None), table.take("text", str, default=None)
    if (file is None) == (text is None):
        raise ConfigurationError(f'{table.where}: expected either "file" or "text"')
    try:
        content = (directory / file).read_bytes() if file is not None else text.encode()
        return SeededVersion(read_serial(content), content)
    except OSError as error:
        raise ConfigurationError(f"{table.where}.file: {file} cannot be read: {error.strerror}") from error
    except InvalidDocumentError as error:
        raise ConfigurationError(f"{table.where}: {error}") from error


def _parse_lock(table: _Table) -> SeededLock | None:
    held = table.take("locked_by", (str, dict), default=None)
    if held is None or isinstance(held, str):
        return None if held is None else SeededLock(held)
    lock = _Table(held, f"{table.where}.locked_by")
    parsed = SeededLock(lock.take("user", str), lock.take("id", str, default=None))
    lock.finish()
    return parsed


def _parse_rule(table: _Table) -> ProtectionRule:
    return ProtectionRule(
        project=table.take("project", int),
        state_name=table.take("state_name", str),
        minimum_access_level_for_write=table.choose("minimum_access_level_for_write", RULE_LEVELS),
        allowed_from=table.choose("allowed_from", PLACES, default="anywhere"),
    )


def _parse_fault(table: _Table) -> Fault:
    mode = table.choose("mode", FAULT_MODES)
    return Fault(
        mode=mode,
        state=table.take("state", str, default=None),
        after=table.take("after", int, default=0),
        times=table.take("times", int, default=None if mode in LASTING_MODES else 1),
        variant=table.choose("variant", ("status", "drop"), default="status"),
    )


def _check_references(configuration: Configuration) -> None:
    """Names that must be unique are, and every project that is named exists."""
    projects = [project.id for project in configuration.projects]
    known = set(projects)
    if len(known) != len(projects):
        raise ConfigurationError("projects: two projects have the same id")
    names = [(state.project, state.name) for state in configuration.states]
    if len(set(names)) != len(names):
        raise ConfigurationError("states: two states of one project have the same name")
    protected = [(rule.project, rule.state_name) for rule in configuration.protection_rules or ()]
    if len(set(protected)) != len(protected):
        raise ConfigurationError("protection_rules: two rules of one project have the same state_name")
    if len({token.value for token in configuration.tokens}) != len(configuration.tokens):
        raise ConfigurationError("tokens: two tokens have the same value")
    for where, named in (
        ("states", [state.project for state in configuration.states]),
        ("tokens", [project for token in configuration.tokens for project in token.roles]),
        ("protection_rules", [rule.project for rule in configuration.protection_rules or ()]),
    ):
        if unknown := set(named) - known:
            raise ConfigurationError(f"{where}: project {min(unknown)} is not in projects")
