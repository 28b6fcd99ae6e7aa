"""POST and DELETE of `/projects/:id/terraform/state/:name/lock` (source: `lib/api/terraform/state.rb`).

Invariant: the lock's ID comes in the body here (in the query only for DELETE); GitLab stores nothing else of the
client's lock info, and echoes the requester's own fields even when it answers 409.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from migrator.standin.exchange import (
    JSON,
    SERVER_ERROR,
    STATE_DELETED,
    RefusedError,
    Reply,
    Request,
    build_error,
    build_json_reply,
)
from migrator.standin.model import Lock
from migrator.standin.service import Visit, check_length, check_writable
from migrator.standin.store import StateDeletedError, StateLockedError

FORM = "application/x-www-form-urlencoded"
REQUIRED = ("ID", "Operation", "Info", "Who", "Version", "Created", "Path")
ECHOED = ("Operation", "Info", "Version", "Path")


def post_lock(visit: Visit) -> Reply:
    """Take the lock: 200 with lock info, or 409 with the holder's ID, user and time. Never re-entrant."""
    fields = _read_fields(visit.request)
    check_length("name", visit.name)
    if missing := [key for key in REQUIRED if key not in fields]:
        return build_error(400, ", ".join(f"{key} is missing" for key in missing))
    check_length("ID", fields["ID"])
    check_writable(visit)
    try:
        lock = visit.service.store.lock(*visit.key, lock_id=fields["ID"] or "", user=visit.token.user)
    except StateDeletedError:
        return STATE_DELETED
    except StateLockedError as error:
        return _build_lock_info(409, error.row.lock, fields) if error.row.lock else SERVER_ERROR
    if visit.service.faults.strike("b", visit.name):
        return Reply(200, dropped=True)
    return _build_lock_info(200, lock, fields)


def delete_lock(visit: Visit) -> Reply:
    """Release the lock; without an ID this is GitLab's forced unlock and always succeeds."""
    fields = {**visit.request.query, **_read_fields(visit.request)}
    check_length("name", visit.name)
    check_length("ID", fields.get("ID"))
    check_writable(visit)
    try:
        visit.service.store.unlock(*visit.key, lock_id=fields.get("ID"))
    except StateDeletedError:
        return STATE_DELETED
    except StateLockedError:
        return Reply(409, b"409")
    return Reply(200, b"200")


def _build_lock_info(status: int, lock: Lock, fields: dict[str, str | None]) -> Reply:
    echoed = {key: fields[key] for key in ECHOED}
    return build_json_reply(status, {**echoed, "ID": lock.id, "Who": lock.user, "Created": lock.created})


def _read_fields(request: Request) -> dict[str, str | None]:
    if not request.body:
        return {}
    kind = request.media_type or JSON
    if kind == FORM:
        return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
    if kind != JSON:
        raise RefusedError(build_error(415, f"The provided content-type '{kind}' is not supported."))
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusedError(build_error(400, "message body does not match declared format")) from None
    if not isinstance(document, dict):
        return {}
    return {key: value if isinstance(value, str) or value is None else str(value) for key, value in document.items()}
