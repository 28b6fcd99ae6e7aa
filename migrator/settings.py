"""``migrator.toml`` -> Settings (interface.md section 3). Holds names of environment variables, never a secret.

Unknown keys are errors with a suggestion: a misspelt safety option must not be ignored.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from migrator.errors import ConfigurationError

FORMAT = "migrator.config/1"
FILE_NAME = "migrator.toml"
DEFAULT_KEY = "{project_path}/{state}/terraform.tfstate"
DEFAULT_RUN_PREFIX = ".migrator"
KEY_FIELDS = ("project_path", "project_id", "stack", "environment", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Where state lives now. ``project`` is a numeric id or a path; ``url`` defaults to $CI_SERVER_URL."""

    project: int | str
    url: str = ""
    token_env: str = "GITLAB_TOKEN"  # noqa: S105 - a name, not a secret
    username: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """Where state will live. ``key`` is a template with the fields of ``KEY_FIELDS``; ``run_prefix`` is where runs are
    mirrored, "" for nowhere.
    """

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    key: str = DEFAULT_KEY
    path_style: bool = True
    access_key_env: str = "AWS_ACCESS_KEY_ID"
    secret_key_env: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a name, not a secret
    session_token_env: str | None = None
    ca_bundle: str | None = None
    profile: str | None = None
    style: Literal["inline", "partial"] = "inline"
    run_prefix: str = DEFAULT_RUN_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """Which OpenTofu (or Terraform) proves the result."""

    tofu: str = "tofu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSettings:
    """How much proof the plan asks for."""

    plan: Literal["required", "init-only", "off"] = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A state of the source bound to one (stack, environment) by the operator."""

    name: str
    stack: str
    environment: str
    var_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """States that stay where they are; ``state`` is a shell pattern."""

    state: str
    reason: str

    def matches(self, name: str) -> bool:
        """Return whether the pattern names this state."""
        return fnmatchcase(name, self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A blocker or hazard, by code, that the operator takes upon himself; the reason is kept in the plan."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration file."""

    format: str
    source: SourceSettings
    target: TargetSettings
    tools: ToolSettings = ToolSettings()
    proof: ProofSettings = ProofSettings()
    state: tuple[Binding, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    acknowledge: tuple[Acknowledgement, ...] = ()


def read_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Return the settings in ``path``; ``environment`` supplies $CI_SERVER_URL only.

    Raises: ConfigurationError with file and, for syntax, line.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"there is no {path.name}", where=str(path), hint="migrator init") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
        raise ConfigurationError(
            f"{path.name} cannot be read: {reason}",
            where=str(path),
            hint="correct the file, or name another with --config",
        ) from None
    return parse_settings(text, where=str(path), environment=environment)


def parse_settings(text: str, *, where: str, environment: Mapping[str, str]) -> Settings:
    """Return the settings in TOML ``text``.

    Raises: ConfigurationError.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=where, hint="correct the file") from None
    found = document.get("format")
    if found != FORMAT:
        raise ConfigurationError(
            f'the first line must be format = "{FORMAT}", found {found!r}', where=where, hint="correct the file"
        )
    _check_keys(document, Settings, "", where)
    if isinstance(source := document.get("source"), dict) and not source.get("url"):
        source["url"] = environment.get("CI_SERVER_URL", "")
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        message = str(error).replace("Object missing required field", "missing setting")
        raise ConfigurationError(message.replace("`$.", "`"), where=where, hint="correct the file") from None
    _check_values(settings, where)
    return settings


def _check_keys(value: object, kind: Any, path: str, where: str) -> None:
    if get_origin(kind) is tuple and isinstance(value, list):
        for number, item in enumerate(value, 1):
            _check_keys(item, get_args(kind)[0], f"{path} number {number}", where)
    if not is_dataclass(kind) or not isinstance(value, dict):
        return
    known = [field.name for field in fields(kind)]
    hints = get_type_hints(kind)
    for key, item in value.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            table = f" in [{path.strip()}]" if path else ""
            raise ConfigurationError(
                f"unknown setting `{key}`{table}",
                where=where,
                hint=f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}",
            )
        _check_keys(item, hints[key], f"{path}.{key}".lstrip("."), where)


def _check_values(settings: Settings, where: str) -> None:
    problems: list[str] = []
    if not settings.source.url.startswith(("http://", "https://")):
        problems.append("`source.url` must be the https:// address of the GitLab instance (or set CI_SERVER_URL)")
    if not settings.target.endpoint.startswith(("http://", "https://")):
        problems.append("`target.endpoint` must start with https:// (or http://)")
    if not settings.target.bucket:
        problems.append("`target.bucket` is empty")
    problems += check_key_template(settings.target.key) + _check_run_prefix(settings.target)
    for table, reasons in (("exclude", settings.exclude), ("acknowledge", settings.acknowledge)):
        if any(not entry.reason.strip() for entry in reasons):
            problems.append(f"every [[{table}]] needs a reason")
    names = [binding.name for binding in settings.state]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"two [[state]] tables name {twice[0]}")
    if settings.source.project == "":
        problems.append("`source.project` is empty")
    if problems:
        raise ConfigurationError(problems[0], where=where, now="nothing was touched", hint="correct the file")


def _check_run_prefix(target: TargetSettings) -> list[str]:
    prefix = target.run_prefix
    parts = prefix.split("/")
    if prefix and (
        "" in parts
        or "." in parts
        or ".." in parts
        or not prefix.isascii()
        or not prefix.isprintable()
        or "{" in prefix
    ):
        return [f"`target.run_prefix` must be plain names with / between them, without fields: {prefix}"]
    if prefix and target.key.startswith(prefix + "/"):
        return ["`target.key` lies below `target.run_prefix`: states and mirrored runs would mix"]
    return []


def check_key_template(template: str) -> list[str]:
    """Return what is wrong with a key template; an empty list when nothing is."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        parts = [("", "", "", None)]
    # Only bare names and no escaped braces: anything else would give a key that files cannot spell.
    if (
        "{{" in template
        or "}}" in template
        or any(name is not None and (name not in KEY_FIELDS or form or change) for _, name, form, change in parts)
    ):
        return [f"`target.key` may only use the fields {', '.join(KEY_FIELDS)}: {template}"]
    key = template.format(**dict.fromkeys(KEY_FIELDS, "x"))
    if key.startswith("/") or key.endswith("/") or "//" in key or ".." in key.split("/"):
        return [f"`target.key` must not start or end with a slash, nor hold // or ..: {template}"]
    if "{state}" not in template and not ("{stack}" in template and "{environment}" in template):
        return ["`target.key` must hold {state}, or {stack} and {environment}: several states would share one key"]
    return []
