"""One request and its reply, and the replies whose text GitLab fixes.

Invariants: `path` is raw (percent-encoded, without the query); header names are lower-case. Deliberately not here: sockets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came off the wire."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded; the last of equal names counts."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True)) if self.query_string else {}

    @property
    def reads(self) -> bool:
        """True for the methods that a token of scope `read_api` may use."""
        return self.method in ("GET", "HEAD")

    @property
    def media_type(self) -> str | None:
        """The content type without parameters, None where none was sent."""
        sent = self.headers.get("content-type")
        return sent.partition(";")[0].strip().lower() if sent else None


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; `dropped` closes the connection without sending a byte of it."""

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: tuple[tuple[str, str], ...] = ()
    dropped: bool = False


class RefusedError(Exception):
    """The request ends here, with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def build_json_reply(status: int, value: object) -> Reply:
    """A JSON reply, compact as GitLab writes it."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode())


def build_message(status: int, message: str) -> Reply:
    """`{"message": ...}`: what GitLab's own code answers."""
    return build_json_reply(status, {"message": message})


def build_error(status: int, error: str) -> Reply:
    """`{"error": ...}`: what GitLab's API framework answers."""
    return build_json_reply(status, {"error": error})


def build_guard_error(status: int, error: str, description: str, **more: str) -> Reply:
    """What the token guard answers (`lib/api/api_guard.rb`)."""
    return build_json_reply(status, {"error": error, "error_description": description, **more})


EMPTY_STRING = Reply(200, b'""')
NO_CONTENT = Reply(204, content_type=None)
UNAUTHORIZED = build_message(401, "401 Unauthorized")
FORBIDDEN = build_message(403, "403 Forbidden")
PROJECT_NOT_FOUND = build_message(404, "404 Project Not Found")
STATE_NOT_FOUND = build_message(404, "404 Not found")
VERSION_NOT_FOUND = build_message(404, "404 Not Found")
NO_ROUTE = build_error(404, "404 Not Found")
SERVER_ERROR = build_message(500, "500 Internal Server Error")
STATE_DELETED = build_message(422, "Terraform::RemoteStateHandler::StateDeletedError")
RESOURCE_LOCK = build_message(409, "409 Conflict: Resource lock")
TOO_LARGE = Reply(413, b"Request Entity Too Large\n", "text/plain; charset=utf-8")
TOO_MANY = Reply(429, b"Retry later\n", "text/plain", (("Retry-After", "1"),))
EXPIRED = build_guard_error(
    401, "invalid_token", "Token is expired. You can either do re-authorization or token refresh."
)
REVOKED = build_guard_error(401, "invalid_token", "Token was revoked. You have to re-authorize from the user.")
