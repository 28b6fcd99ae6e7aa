"""One line of a journal: what kind of thing happened to which unit, chained to the line before.

A line is canonical JSON with ``hash`` = sha256 over the previous line's hash and the rest of this line, so that a lost,
changed or moved line is noticed. Bodies hold identifiers, digests and coordinates, never a secret or a document.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from migrator.errors import JournalError

FORMAT = "migrator.journal/1"
GENESIS = "0" * 64

Body = Mapping[str, Any]
_encoder = msgspec.json.Encoder(order="sorted")


class RecordKind(StrEnum):
    """What a record says."""

    RUN = "run"  # first record: format, run id, plan digest, version
    INTENT = "intent"  # an effect will be attempted; holds everything that undo needs
    DONE = "done"  # the effect of the intent before it took place; holds the evidence
    UNDO_INTENT = "undo-intent"  # an effect will be taken back
    UNDONE = "undone"  # it was
    BARRIER = "barrier"  # every step before this point is done
    ROLLBACK = "rollback"  # from here on this run only goes backward
    STOPPED = "stopped"  # an error ended an attempt: exit code and message
    OUTCOME = "outcome"  # the run is over: migrated, rolled-back, refused or finalized


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What a record will say, before the log gives it number, time and hash."""

    kind: RecordKind
    body: Body
    step: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One fact. ``step`` and ``unit`` are empty for facts about the run; ``at`` is RFC 3339 UTC."""

    number: int
    at: str
    kind: RecordKind
    step: str = ""
    unit: str = ""
    body: Body


def encode_record(record: Record, previous: str) -> tuple[bytes, str]:
    """Return the line, newline included, and its hash. ``previous`` is the hash of the line before."""
    document = msgspec.to_builtins(record)
    digest = _digest(document, previous)
    return _encoder.encode({**document, "hash": digest}) + b"\n", digest


def decode_record(line: bytes, previous: str, number: int) -> tuple[Record, str]:
    """Return the record in ``line`` and its hash.

    Raises: JournalError when the line is not the one that was written after ``previous``.
    """
    try:
        document = msgspec.json.decode(line)
        digest = document.pop("hash")
        record = msgspec.convert(document, Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, KeyError, TypeError):
        raise JournalError(f"line {number} of the journal cannot be read") from None
    written = _encoder.encode({**document, "hash": digest})
    if digest != _digest(document, previous) or record.number != number or written != line:
        raise JournalError(f"line {number} of the journal is not what was written: its hash does not hold")
    return record, digest


def _digest(document: Mapping[str, Any], previous: str) -> str:
    return hashlib.sha256(previous.encode() + _encoder.encode(document)).hexdigest()
