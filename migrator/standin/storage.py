"""Where rows and bytes live: in memory, or in a directory that survives `kill -9`.

Invariants of the directory: a file is written beside its name, synchronised, renamed and its directory synchronised, so
that it is whole or absent; bytes are durable before the row that refers to them; a row is gone before its bytes are.
Deliberately not here: rules. The storage does what it is told.

    DIR/seeded             the configuration's states have been put in; they are not put in twice
    DIR/rows/<id>.json     one row
    DIR/contents/<id>      the bytes of one version
    DIR/rules/<id>.json    one protection rule
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from migrator.standin.model import Lock, RuleRow, StateRow, Version


class Storage(Protocol):
    """What the store needs; everything is durable, as far as it will ever be, when the call returns."""

    def read_rows(self) -> Iterable[StateRow]:
        """Every row."""

    def is_seeded(self) -> bool:
        """True once `mark_seeded` has been called on this storage."""

    def mark_seeded(self) -> None:
        """Note that the configuration's states are in."""

    def write_row(self, row: StateRow) -> None:
        """Put or replace one row."""

    def remove_row(self, row: StateRow) -> None:
        """Remove one row; its bytes are removed separately."""

    def write_content(self, version_id: int, content: bytes) -> None:
        """Put the bytes of one version."""

    def read_content(self, version_id: int) -> bytes | None:
        """The bytes of one version, None where the file is missing."""

    def remove_content(self, version_id: int) -> None:
        """Remove the bytes of one version; removing what is absent is no error."""

    def read_rules(self) -> Iterable[RuleRow]:
        """Every protection rule."""

    def write_rule(self, row: RuleRow) -> None:
        """Put or replace one protection rule."""

    def remove_rule(self, row: RuleRow) -> None:
        """Remove one protection rule."""


class MemoryStorage:
    """Bytes in a dictionary; the rows are in the store already."""

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}

    def read_rows(self) -> Iterable[StateRow]:
        """No row is ever found: memory has no past."""
        return ()

    def is_seeded(self) -> bool:
        """Never: memory has no past."""
        return False

    def mark_seeded(self) -> None:
        """Nothing to note."""

    def write_row(self, row: StateRow) -> None:
        """Nothing to do: the store holds the rows."""

    def remove_row(self, row: StateRow) -> None:
        """Nothing to do: the store holds the rows."""

    def write_content(self, version_id: int, content: bytes) -> None:
        """Keep the bytes."""
        self._contents[version_id] = content

    def read_content(self, version_id: int) -> bytes | None:
        """The bytes, None where they are missing."""
        return self._contents.get(version_id)

    def remove_content(self, version_id: int) -> None:
        """Forget the bytes."""
        self._contents.pop(version_id, None)

    def read_rules(self) -> Iterable[RuleRow]:
        """No rule is ever found: memory has no past."""
        return ()

    def write_rule(self, row: RuleRow) -> None:
        """Nothing to do: `Rules` holds them."""

    def remove_rule(self, row: RuleRow) -> None:
        """Nothing to do: `Rules` holds them."""


class DirectoryStorage:
    """Rows and bytes as files of one directory, which is made when absent. One process at a time."""

    def __init__(self, directory: Path) -> None:
        self._seeded = directory / "seeded"
        self._rows = directory / "rows"
        self._contents = directory / "contents"
        self._rules = directory / "rules"
        for part in (directory, self._rows, self._contents, self._rules):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in part.glob("*.tmp"):
                leftover.unlink()

    def read_rows(self) -> Iterable[StateRow]:
        """Every row, in no particular order."""
        return [_decode_row(path.read_bytes()) for path in sorted(self._rows.glob("*.json"))]

    def is_seeded(self) -> bool:
        """True once seeding was completed, by whichever process."""
        return self._seeded.exists()

    def mark_seeded(self) -> None:
        """Note it durably."""
        _write_durably(self._seeded, b"")

    def write_row(self, row: StateRow) -> None:
        """Put or replace the row's file durably."""
        _write_durably(self._rows / f"{row.id}.json", json.dumps(asdict(row)).encode())

    def remove_row(self, row: StateRow) -> None:
        """Remove the row's file durably."""
        _remove_durably(self._rows / f"{row.id}.json")

    def write_content(self, version_id: int, content: bytes) -> None:
        """Put the bytes durably."""
        _write_durably(self._contents / str(version_id), content)

    def read_content(self, version_id: int) -> bytes | None:
        """The bytes, None where the file is missing."""
        try:
            return (self._contents / str(version_id)).read_bytes()
        except FileNotFoundError:
            return None

    def remove_content(self, version_id: int) -> None:
        """Remove the file durably."""
        _remove_durably(self._contents / str(version_id))

    def read_rules(self) -> Iterable[RuleRow]:
        """Every rule, in no particular order."""
        return [RuleRow(**json.loads(path.read_bytes())) for path in self._rules.glob("*.json")]

    def write_rule(self, row: RuleRow) -> None:
        """Put or replace the rule's file durably."""
        _write_durably(self._rules / f"{row.id}.json", json.dumps(asdict(row)).encode())

    def remove_rule(self, row: RuleRow) -> None:
        """Remove the rule's file durably."""
        _remove_durably(self._rules / f"{row.id}.json")


def _decode_row(text: bytes) -> StateRow:
    fields = json.loads(text)
    fields["versions"] = tuple(Version(**version) for version in fields["versions"])
    fields["lock"] = Lock(**fields["lock"]) if fields["lock"] else None
    return StateRow(**fields)


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _synchronise(path.parent)


def _remove_durably(path: Path) -> None:
    path.unlink(missing_ok=True)
    _synchronise(path.parent)


def _synchronise(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
