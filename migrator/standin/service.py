"""What the routes share: the configuration, the store, the faults, and the checks that precede every state route.

Invariants: a `Visit` exists only for a request whose sender may read the project's states.
Deliberately not here: which path leads to which route (`routes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from migrator.standin.access import (
    PROTECTED,
    Channels,
    Directory,
    build_moved_reply,
    check_scope,
    check_visible,
    is_protected_from,
    may_read,
    may_write,
)
from migrator.standin.configuration import Configuration, Project, Token
from migrator.standin.exchange import (
    EXPIRED,
    FORBIDDEN,
    RESOURCE_LOCK,
    UNAUTHORIZED,
    RefusedError,
    Request,
    build_error,
)
from migrator.standin.faults import Faults
from migrator.standin.rules import Rules
from migrator.standin.store import Store

NAME_LIMIT = 255


@dataclass(slots=True)
class Service:
    """Everything a route may use."""

    configuration: Configuration
    store: Store
    rules: Rules
    faults: Faults
    directory: Directory = field(init=False)

    def __post_init__(self) -> None:
        self.directory = Directory(self.configuration)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request on one state, by somebody who may read it."""

    service: Service
    request: Request
    token: Token
    project: Project
    name: str

    @property
    def key(self) -> tuple[int, str]:
        """What the store knows the state by."""
        return self.project.id, self.name


def authenticate(
    service: Service, request: Request, *, channels: Channels = Channels.PLAIN, name: str | None = None
) -> Token:
    """The valid token of a request, of sufficient scope.

    Raises: RefusedError (401, 403).
    """
    token = service.directory.find_identity(request, channels)
    if token is None:
        raise RefusedError(UNAUTHORIZED)
    if service.faults.strike("i", name):
        raise RefusedError(EXPIRED)
    check_scope(token, request)
    return token


def find_visible_project(
    service: Service, request: Request, segment: str, *, token: Token | None, name: str | None = None
) -> Project:
    """The project of a path segment, if the token's user can see it there.

    Raises: RefusedError (404, 403, 301, 405).
    """
    found, named_by = service.directory.find_project(segment)
    project = check_visible(found, token)
    moved = named_by == "old path" or (named_by == "path" and service.faults.strike("m", name) is not None)
    if moved:
        raise RefusedError(build_moved_reply(request, project, segment))
    return project


def begin_visit(service: Service, request: Request, project_segment: str, name_segment: str) -> Visit:
    """All checks up to the read ability.

    Raises: RefusedError.
    """
    name = unquote(name_segment)
    token = authenticate(service, request, channels=Channels.WITH_BASIC_AND_JOB, name=name)
    project = find_visible_project(service, request, project_segment, token=token, name=name)
    if not may_read(project, token):
        raise RefusedError(FORBIDDEN)
    visit = Visit(service, request, token, project, name)
    _settle_removal(visit)
    return visit


def check_admin(visit: Visit) -> None:
    """The admin ability alone: removing a version looks at no protection rule.

    Raises: RefusedError (403).
    """
    if not may_write(visit.project, visit.token):
        raise RefusedError(FORBIDDEN)


def check_writable(visit: Visit) -> None:
    """The admin ability, the protection rules, and the faults that look like them.

    Raises: RefusedError (403, 409).
    """
    check_admin(visit)
    rule = visit.service.rules.find(*visit.key)
    if is_protected_from(rule, visit.token) or visit.service.faults.strike("j", visit.name):
        raise RefusedError(PROTECTED)
    if visit.service.faults.strike("f", visit.name):
        raise RefusedError(RESOURCE_LOCK)


def check_length(attribute: str, value: str | None) -> None:
    """GitLab's `Limit` validator (`lib/api/validations/validators/limit.rb`).

    Raises: RefusedError (400).
    """
    if value is not None and len(value) > NAME_LIMIT:
        message = f"{attribute} {attribute} must be less than {NAME_LIMIT} characters"
        raise RefusedError(build_error(400, message))


def _settle_removal(visit: Visit) -> None:
    # Fault e stands for the background job: it has run once the 422 was given often enough.
    row = visit.service.store.find(*visit.key)
    if row is None or row.deleted_at is None:
        return
    if visit.service.faults.is_spent("e", visit.name):
        visit.service.store.remove_scheduled(*visit.key)
    else:
        visit.service.faults.strike("e", visit.name)
