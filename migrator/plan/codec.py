"""Plan <-> bytes: canonical JSON with a digest over everything else in it.

The digest is the plan's name: the journal of a run carries it, and a plan with one changed byte is another plan, or none.
"""

import hashlib
from typing import Any

import msgspec

from migrator.errors import ConfigurationError, StalePlanError
from migrator.plan.bounds import check_bounds
from migrator.plan.model import FORMAT, Plan

_encoder = msgspec.json.Encoder(order="sorted")
# Keys that format 1 got later. A plan without them keeps the bytes, and so the digest, that it was written with.
_ADDED = {"target": {"run_prefix": ""}}


def encode_plan(plan: Plan) -> bytes:
    """Return the plan file: indented JSON with ``format`` and ``digest``, ending in a newline."""
    document = {"format": FORMAT, "digest": digest_of_plan(plan), **_build_document(plan)}
    return msgspec.json.format(_encoder.encode(document), indent=1) + b"\n"


def digest_of_plan(plan: Plan) -> str:
    """Return the plan's digest: sha256, lower-case hex, of its canonical JSON without format and digest."""
    return hashlib.sha256(_encoder.encode(_build_document(plan))).hexdigest()


def _build_document(plan: Plan) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(plan)
    for table, keys in _ADDED.items():
        for key, absent in keys.items():
            if document[table][key] == absent:
                del document[table][key]
    return document


def decode_plan(data: bytes, *, where: str) -> Plan:
    """Return the plan in ``data``.

    Raises: ConfigurationError when it is not a plan of this format, StalePlanError when its digest does not hold,
    RefusedError when it reaches where no plan may.
    """
    document = _read_document(data, where)
    digest = document.pop("digest", None)
    try:
        plan = msgspec.convert(document, Plan)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"the plan cannot be read: {error}", where=where, hint="migrator plan") from None
    # Bytes are compared, not values: a plan was reviewed as it stands, and spacing is part of that.
    if digest != digest_of_plan(plan) or data != encode_plan(plan):
        raise StalePlanError(
            "the plan was changed after it was made: its digest does not match its content",
            where=where,
            now="nothing was touched",
        )
    check_bounds(plan, where=where)
    return plan


def _read_document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError("the plan is not JSON", where=where, hint="migrator plan") from None
    found = document.pop("format", None) if isinstance(document, dict) else None
    if found != FORMAT:
        raise ConfigurationError(f"not a plan of format {FORMAT}: found {found!r}", where=where, hint="migrator plan")
    return dict(document)
