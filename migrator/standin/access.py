"""Who sends a request, which project it means, and what that user may do there.

Invariants: the order of checks is GitLab's: credentials (401), scope (403), project (404/403/301/405), read ability
(403), admin ability (403); the caller puts parameter validation between the last two. Sources:
`lib/gitlab/auth/auth_finders.rb`, `lib/api/api_guard.rb`, `lib/api/helpers.rb`, `app/policies/project_policy.rb`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from migrator.standin.configuration import ACCESS_LEVELS, Configuration, Project, Token
from migrator.standin.exchange import (
    EXPIRED,
    FORBIDDEN,
    PROJECT_NOT_FOUND,
    REVOKED,
    UNAUTHORIZED,
    RefusedError,
    Reply,
    Request,
    build_guard_error,
    build_message,
)
from migrator.standin.model import RuleRow

JOB_USER = "gitlab-ci-token"
PROTECTED = build_message(403, "403 Forbidden - The Terraform state is protected")


class Channels(Enum):
    """Which credentials a route takes: the state routes also take basic authentication and job tokens."""

    PLAIN = "token"
    WITH_BASIC_AND_JOB = "token, basic and job"


class Directory:
    """The projects and tokens of the configuration, by what a request names them by."""

    def __init__(self, configuration: Configuration) -> None:
        self.projects = {project.id: project for project in configuration.projects}
        self.by_path = {project.path: project for project in configuration.projects}
        self.by_old_path = {path: project for project in configuration.projects for path in project.old_paths}
        self._tokens = {token.value: token for token in configuration.tokens}
        users = dict.fromkeys(token.user for token in configuration.tokens)
        self.user_ids = {user: number for number, user in enumerate(users, start=1)}

    def find_identity(self, request: Request, channels: Channels) -> Token | None:
        """The token of a request; None where no credential was sent in a way that the route looks at.

        Raises: RefusedError (401) where one was sent and is not valid.
        """
        credential = _find_credential(request, channels)
        if credential is None:
            return None
        token = self._tokens.get(credential.value)
        if token is None or not _admits(token, credential, channels):
            raise RefusedError(UNAUTHORIZED)
        if token.expired or token.revoked:
            raise RefusedError(EXPIRED if token.expired else REVOKED)
        return token

    def find_project(self, segment: str) -> tuple[Project | None, str]:
        """The project of a path segment (numeric id or encoded path), and how it was named: id, path, old path."""
        name = unquote(segment)
        if name.isascii() and name.isdigit():
            return self.projects.get(int(name)), "id"
        if name in self.by_path:
            return self.by_path[name], "path"
        return self.by_old_path.get(name), "old path"


@dataclass(frozen=True, slots=True)
class _Credential:
    value: str
    user: str | None = None
    bearer: bool = False


def check_scope(token: Token, request: Request) -> None:
    """`api` may do everything, `read_api` may read; job tokens have no scopes.

    Raises: RefusedError (403).
    """
    enough = {"api", "read_api"} if request.reads else {"api"}
    if token.kind == "pat" and not enough & token.scopes:
        description = "The request requires higher privileges than provided by the access token."
        scope = " ".join(sorted(enough))
        raise RefusedError(build_guard_error(403, "insufficient_scope", description, scope=scope))


def check_visible(project: Project | None, token: Token | None) -> Project:
    """A project is visible to its members; to anybody else it does not exist.

    Raises: RefusedError (404; 403 for the user of a job token).
    """
    if project is None or token is None:
        raise RefusedError(PROJECT_NOT_FOUND)
    if not token.access_level(project.id):
        raise RefusedError(FORBIDDEN if token.kind == "job" else PROJECT_NOT_FOUND)
    return project


def may_read(project: Project, token: Token) -> bool:
    """`read_terraform_state`: developers, while the project has its infrastructure feature."""
    return project.infrastructure_enabled and token.access_level(project.id) >= ACCESS_LEVELS["developer"]


def may_write(project: Project, token: Token) -> bool:
    """`admin_terraform_state`: maintainers."""
    return may_read(project, token) and token.access_level(project.id) >= ACCESS_LEVELS["maintainer"]


def is_protected_from(rule: RuleRow | None, token: Token) -> bool:
    """True where a protection rule keeps this token from writing; administrators pass."""
    if rule is None or token.access_level(rule.project) >= ACCESS_LEVELS["admin"]:
        return False
    too_low = token.access_level(rule.project) < ACCESS_LEVELS[rule.minimum_access_level_for_write]
    # The stand-in knows no branches: a job counts as one on a protected branch.
    return too_low or (rule.allowed_from != "anywhere" and token.kind != "job")


def build_moved_reply(request: Request, project: Project, segment: str) -> Reply:
    """What a request by a former path gets: reads are sent to the numeric id, writes are refused."""
    if not request.reads:
        return build_message(405, "Non GET methods are not allowed for moved projects")
    path = request.path.replace(f"/projects/{segment}", f"/projects/{project.id}", 1)
    query = f"?{request.query_string}" if request.query_string else ""
    location = f"http://{request.headers.get('host', '127.0.0.1')}{path}{query}"
    body = f"This resource has been moved permanently to {location}".encode()
    return Reply(301, body, "text/plain", (("Location", location),))


def _find_credential(request: Request, channels: Channels) -> _Credential | None:
    private = request.headers.get("private-token") or request.query.get("private_token")
    if private:
        return _Credential(private)
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _Credential(rest.strip(), bearer=True)
    if scheme.lower() == "basic" and channels is Channels.WITH_BASIC_AND_JOB:
        return _decode_basic(rest)
    return None


def _decode_basic(encoded: str) -> _Credential:
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise RefusedError(UNAUTHORIZED) from None
    return _Credential(password, user=user)


def _admits(token: Token, credential: _Credential, channels: Channels) -> bool:
    if token.kind == "pat":
        return True
    job_may = token.kind == "job" and token.running and channels is Channels.WITH_BASIC_AND_JOB
    return job_may and (credential.bearer or credential.user == JOB_USER)
