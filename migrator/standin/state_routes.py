"""GET, POST and DELETE of `/projects/:id/terraform/state/:name` (source: `lib/api/terraform/state.rb`)."""

from __future__ import annotations

from migrator.standin.configuration import Fault
from migrator.standin.document import InvalidDocumentError, read_serial
from migrator.standin.exchange import (
    EMPTY_STRING,
    NO_CONTENT,
    SERVER_ERROR,
    STATE_DELETED,
    STATE_NOT_FOUND,
    TOO_LARGE,
    RefusedError,
    Reply,
    Request,
    build_message,
)
from migrator.standin.service import Service, Visit, check_length, check_writable
from migrator.standin.store import (
    SerialOutOfRangeError,
    SerialTakenError,
    StateDeletedError,
    StateLockedError,
    StateNotFoundError,
)

BINARY = "application/octet-stream"


def get_state(visit: Visit) -> Reply:
    """The exact bytes of the highest serial; 204 where the row has none, or its file is missing."""
    store, faults = visit.service.store, visit.service.faults
    row = store.find(*visit.key)
    if row and not row.lock and faults.strike("l", visit.name):
        store.write_as_stranger(*visit.key)
    try:
        content = store.read_latest(*visit.key)
    except StateNotFoundError:
        return STATE_NOT_FOUND
    except StateDeletedError:
        return STATE_DELETED
    if content is None or faults.strike("c", visit.name):
        return NO_CONTENT
    return Reply(200, content, BINARY)


def check_size(service: Service, request: Request, project_segment: str, name: str) -> None:
    """The size limit, which GitLab's front server enforces before anybody has authenticated.

    Raises: RefusedError (413, plain text).
    """
    project, _ = service.directory.find_project(project_segment)
    limit = project.max_state_bytes if project else 0
    if (limit and len(request.body) > limit) or service.faults.strike("h", name):
        raise RefusedError(TOO_LARGE)


def post_state(visit: Visit) -> Reply:
    """Add a version. A lock that does not agree with `?ID=` is a 500: GitLab does not rescue it here."""
    lock_id = visit.request.query.get("ID")
    check_length("name", visit.name)
    check_length("ID", lock_id)
    check_writable(visit)
    if not visit.request.body:
        return NO_CONTENT
    try:
        serial = read_serial(visit.request.body)
    except InvalidDocumentError as error:
        return build_message(422, str(error))
    if lock_id and visit.service.faults.strike("k", visit.name):
        visit.service.store.unlock(*visit.key, lock_id=None)
    refused = _write(visit, serial=serial, lock_id=lock_id)
    if refused:
        return refused
    fault = visit.service.faults.strike("a", visit.name)
    return _build_lost_reply(fault) if fault else EMPTY_STRING


def delete_state(visit: Visit) -> Reply:
    """Soft-delete. A locked state answers 200 as well and stays: GitLab drops that error."""
    check_writable(visit)
    store = visit.service.store
    try:
        if store.find(*visit.key) and visit.service.faults.strike("d", visit.name):
            return EMPTY_STRING
        store.schedule_removal(*visit.key)
    except StateNotFoundError:
        return STATE_NOT_FOUND
    except StateDeletedError:
        return STATE_DELETED
    except StateLockedError:
        pass
    return EMPTY_STRING


def _write(visit: Visit, *, serial: int, lock_id: str | None) -> Reply | None:
    """The reply that says why nothing was written, or None."""
    try:
        visit.service.store.write_version(
            *visit.key,
            serial=serial,
            content=visit.request.body,
            lock_id=lock_id,
            by_job=visit.token.kind == "job",
        )
    except StateDeletedError:
        return STATE_DELETED
    except (StateLockedError, SerialOutOfRangeError):
        return SERVER_ERROR
    except SerialTakenError as error:
        index = "index_terraform_state_versions_on_state_id_and_version"
        return build_message(
            422,
            f'PG::UniqueViolation: ERROR:  duplicate key value violates unique constraint "{index}"\n'
            f"DETAIL:  Key (terraform_state_id, version)=({error.row.id}, {serial}) already exists.\n",
        )
    return None


def _build_lost_reply(fault: Fault) -> Reply:
    return Reply(500, dropped=True) if fault.variant == "drop" else SERVER_ERROR
