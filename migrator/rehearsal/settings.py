"""The configuration of a rehearsal: the repository's own, or one made from the inventory, aimed at the embedded servers.

It is written beside the copy, never into it, and never into the original.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from migrator.errors import ConfigurationError
from migrator.rehearsal.embedded import Embedded
from migrator.settings import (
    FORMAT,
    Binding,
    ProofSettings,
    Settings,
    SourceSettings,
    TargetSettings,
    ToolSettings,
    read_settings,
)

BUCKET = "tofu-state"
# Only where the file names no address: the rehearsal replaces it, but reading insists on one.
_NO_ADDRESS = {"CI_SERVER_URL": "https://gitlab.invalid"}


def read_own_settings(path: Path) -> Settings | None:
    """Return the repository's settings, None when it has none.

    Raises: ConfigurationError when they cannot be used.
    """
    return read_settings(path, _NO_ADDRESS) if path.is_file() else None


def build_rehearsal_settings(
    own: Settings | None, embedded: Embedded, *, bindings: Iterable[Binding], names: Iterable[str], program: str | None
) -> Settings:
    """Return the settings for the copy. ``names`` are the states of the embedded source, ``program`` proves by plan.

    Bindings of states that the embedded source does not hold are left out: they would be refused as absent. ``bindings``
    are those that the rehearsal found; the repository's own win.
    """
    held = set(names)
    own_bindings = [] if own is None else [binding for binding in own.state if binding.name in held]
    bound = {binding.name for binding in own_bindings}
    found = [binding for binding in bindings if binding.name in held and binding.name not in bound]
    source = SourceSettings(project=embedded.project_id) if own is None else own.source
    target = TargetSettings(endpoint=embedded.target_url, bucket=embedded.bucket) if own is None else own.target
    return Settings(
        format=FORMAT,
        source=SourceSettings(url=embedded.source_url, project=embedded.project_id, token_env=source.token_env),
        target=replace(
            target,
            endpoint=embedded.target_url,
            bucket=embedded.bucket,
            path_style=True,
            session_token_env=None,
            ca_bundle=None,
            profile=None,
        ),
        tools=ToolSettings(tofu=program) if program else ToolSettings(),
        proof=ProofSettings(plan="required" if program else "off"),
        state=(*own_bindings, *found),
        exclude=() if own is None else own.exclude,
        acknowledge=() if own is None else own.acknowledge,
    )


def build_credential_environment(settings: Settings, embedded: Embedded) -> dict[str, str]:
    """Return the invented credentials under the names that the settings give them, and under OpenTofu's own."""
    credentials = embedded.credentials
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        settings.source.token_env: credentials.token,
        settings.target.access_key_env: credentials.access_key,
        settings.target.secret_key_env: credentials.secret_key,
    }


def encode_settings(settings: Settings) -> str:
    """Return the settings as TOML that ``read_settings`` understands; what is None or empty is left out."""
    document: dict[str, Any] = msgspec.to_builtins(settings)
    lines = [f"format = {_value(document.pop('format'))}"]
    for name, content in document.items():
        repeated = isinstance(content, list | tuple)
        tables = content if repeated else [content]
        heading = f"[[{name}]]" if repeated else f"[{name}]"
        for table in tables:
            lines += ["", heading, *_assignments(table)]
    return "\n".join(lines) + "\n"


def _assignments(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in table.items() if value is not None]


def _value(value: object) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML's too, but for the one character that TOML wants escaped.
    if not isinstance(value, str | int | bool | list | tuple):
        raise ConfigurationError(f"a setting of type {type(value).__name__} cannot be written as TOML")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
