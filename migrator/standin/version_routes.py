"""GET and DELETE of `/projects/:id/terraform/state/:name/versions/:serial` (source: `lib/api/terraform/state_version.rb`).

Invariant: neither looks at the lock or at a protection rule. A soft-deleted state is a 500: GitLab does not rescue that error here.
"""

from __future__ import annotations

import re

from migrator.standin.exchange import (
    NO_CONTENT,
    SERVER_ERROR,
    STATE_NOT_FOUND,
    VERSION_NOT_FOUND,
    Reply,
    build_error,
)
from migrator.standin.service import Visit, check_admin
from migrator.standin.state_routes import BINARY
from migrator.standin.store import StateDeletedError, StateNotFoundError, VersionNotFoundError

INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def get_version(visit: Visit, serial_segment: str) -> Reply:
    """The exact bytes of one version."""
    if not INTEGER.fullmatch(serial_segment):
        return build_error(400, "serial is invalid")
    try:
        content = visit.service.store.read_version(*visit.key, int(serial_segment))
    except StateNotFoundError:
        return STATE_NOT_FOUND
    except VersionNotFoundError:
        return VERSION_NOT_FOUND
    except StateDeletedError:
        return SERVER_ERROR
    return SERVER_ERROR if content is None else Reply(200, content, BINARY)


def delete_version(visit: Visit, serial_segment: str) -> Reply:
    """Remove one version for good; the next lower serial becomes what GET serves."""
    if not INTEGER.fullmatch(serial_segment):
        return build_error(400, "serial is invalid")
    check_admin(visit)
    try:
        visit.service.store.remove_version(*visit.key, int(serial_segment))
    except StateNotFoundError:
        return STATE_NOT_FOUND
    except VersionNotFoundError:
        return VERSION_NOT_FOUND
    except StateDeletedError:
        return SERVER_ERROR
    return NO_CONTENT
