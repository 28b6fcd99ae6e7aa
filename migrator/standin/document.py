"""What GitLab reads of a state document: a top-level `serial`, and nothing else.

PURE. Deliberately not here: lineage, schema, encryption; GitLab does not look at them (`lib/gitlab/terraform/state_parser.rb`).
"""

from __future__ import annotations

import json


class InvalidDocumentError(Exception):
    """GitLab refuses the document; the message is the one GitLab sends."""


def read_serial(content: bytes) -> int:
    """The top-level serial of a state document.

    Raises: InvalidDocumentError where the bytes are not JSON or carry no serial (`lib/api/terraform/state.rb`).
    """
    document = _parse(content)
    serial = document.get("serial") if isinstance(document, dict) else None
    if not isinstance(serial, int) or isinstance(serial, bool):
        raise InvalidDocumentError("No serial in payload")
    return serial


def bump_serial(content: bytes, serial: int) -> bytes:
    """The same document with another serial, as a client that ignores the lock would write it.

    Raises: InvalidDocumentError.
    """
    document = _parse(content)
    if not isinstance(document, dict):
        raise InvalidDocumentError("No serial in payload")
    return json.dumps({**document, "serial": serial}, indent=2).encode()


def _parse(content: bytes) -> object:
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError("invalid JSON") from error


def _refuse_constant(text: str) -> None:
    # NaN and Infinity are Python's extension of JSON, not JSON.
    raise ValueError(text)
