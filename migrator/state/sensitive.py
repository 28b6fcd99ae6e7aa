"""PURE: the values of a state document that its configuration marks as sensitive.

OpenTofu hides these in what it prints, a provider or a module may not. Read from ``sensitive`` of the outputs and
``sensitive_attributes`` of the instances (OpenTofu ``internal/states/statefile/version4.go``). A document that is no
state, or is encrypted, has none that anybody could see.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

_SHORTEST = 4  # characters: a shorter value ("dev", "1") stands in every text


def find_sensitive_values(data: bytes) -> frozenset[str]:
    """Return the texts that are sensitive, and each of their lines; numbers and truth values are none."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()
    return frozenset(text for value in _find(document) for text in _leaves(value) if len(text) >= _SHORTEST)


def _find(document: Any) -> Iterator[Any]:
    for output in _mapping(_mapping(document).get("outputs")).values():
        if _mapping(output).get("sensitive") is True:
            yield output.get("value")
    for resource in _sequence(_mapping(document).get("resources")):
        for instance in _sequence(_mapping(resource).get("instances")):
            for path in _sequence(_mapping(instance).get("sensitive_attributes")):
                yield _follow(_mapping(instance).get("attributes"), _sequence(path))


def _follow(value: Any, path: list[Any]) -> Any:
    """Return what stands at a path, or the nearest thing around it where the path leads on into something unknown."""
    value = _open_dynamic(value)
    for step in path:
        key = _mapping(step).get("value")
        key = key.get("value") if isinstance(key, dict) else key
        if not isinstance(value, dict | list):
            break
        try:
            value = _open_dynamic(value[key])  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
    return value


def _open_dynamic(value: Any) -> Any:
    """A value whose type the provider leaves open stands beside its type."""
    return value["value"] if isinstance(value, dict) and value.keys() == {"value", "type"} else value


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from {value, *value.splitlines()}  # of a key in many lines, one alone may be printed
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
