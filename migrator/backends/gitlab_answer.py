"""What GitLab answers, and what each refusal means for a user. Pure: sends nothing.

Invariant: no text built here holds a query string, a header of the request, or more than a line of the answer. Status
codes and bodies follow GitLab's ``lib/api/helpers.rb``, ``lib/api/api.rb`` and ``lib/api/terraform/state.rb``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    CredentialsRefusedError,
    MigratorError,
)
from migrator.redact import redact_nothing

_LONGEST_MESSAGE = 200


class LostReplyError(BackendUnreachableError):
    """The request was sent and its reply was lost: it may have taken effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer. ``where`` is method and path; ``headers`` have lower-case names; ``body`` is left out of repr.

    ``redact`` strikes the credentials from what is quoted of it: a proxy's error page may echo the request.
    """

    where: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    redact: Callable[[str], str] = field(default=redact_nothing, repr=False)

    @property
    def is_page(self) -> bool:
        """Whether this is a web page: no endpoint that we call ever answers one, a proxy does."""
        return self.body[:256].lstrip().startswith(b"<") or "text/html" in self.headers.get("content-type", "")

    @property
    def message(self) -> str:
        """What GitLab says went wrong, one bounded line; "" when it says nothing."""
        try:
            document = json.loads(self.body) if len(self.body) < 65536 else None
        except (ValueError, RecursionError):
            return ""
        if not isinstance(document, dict):
            return ""
        said = document.get("message") or document.get("error_description") or document.get("error") or ""
        return self.quote(str(said))

    def quote(self, said: str) -> str:
        """Return words of the answer as they may be shown: one bounded line without credentials."""
        return self.redact(" ".join(said.split()))[:_LONGEST_MESSAGE]

    @property
    def is_unknown_state(self) -> bool:
        """Whether this is the 404 of a state name without a row (``{"message":"404 Not found"}``)."""
        return self.status == 404 and self.message == "404 Not found"

    @property
    def is_unrouted(self) -> bool:
        """Whether no route matched (``{"error":"404 Not Found"}``), as for a dotted name under ``/versions``."""
        return self.status == 404 and b'"error"' in self.body and self.message == "404 Not Found"

    @property
    def is_row_conflict(self) -> bool:
        """Whether this is the 409 of a lost database race, which has nothing to do with the state's lock."""
        return self.status == 409 and b"Resource lock" in self.body


class Exchange(Protocol):
    """Sends one request to one GitLab. ``path`` starts with ``/`` and is encoded. Never follows a redirect."""

    def read(self, path: str) -> Answer:
        """GET, repeated a bounded number of times after 429, 5xx and lost replies."""

    def glance(self, path: str) -> Answer:
        """``read``, of which only the first part of a long body is fetched."""

    def ask(self, path: str, document: object) -> Answer:
        """POST a question (GraphQL): no effect, so repeated as ``read`` is."""

    def write(self, method: str, path: str, *, body: bytes, query: Mapping[str, str] | None = None) -> Answer:
        """Send once (again only after 429, which is answered before anything is looked at).

        Raises: LostReplyError when the request went out and no whole answer came back.
        """


def build_refusal(answer: Answer) -> MigratorError:
    """Return the error that an answer means which is neither success nor known to the caller."""
    said = f": {answer.message}" if answer.message else ""
    if 300 <= answer.status < 400:
        return _build_redirect_error(answer)
    if answer.is_page and answer.status not in {401, 403, 429} and answer.status < 500:
        return BackendError(
            f"HTTP {answer.status} with a web page instead of an answer of GitLab's API",
            where=answer.where,
            hint="check source.url, and whether a proxy or a login page stands in front of GitLab",
        )
    match answer.status:
        case 401:
            return CredentialsRefusedError(
                f"GitLab refuses the token{said}",
                where=answer.where,
                hint="check the variable that source.token_env names: a token with the scope api that is not expired "
                "(a CI job token needs source.username and works only while its job runs)",
            )
        case 403:
            return CredentialsRefusedError(
                f"GitLab forbids it{said}",
                where=answer.where,
                hint="reading needs the role Developer; writing and locking need Maintainer, the scope api, and no "
                "protection rule against it; the project's Infrastructure feature must be on",
            )
        case 404 if "Project" in answer.message:
            return CredentialsRefusedError(
                "the project does not exist, or the token cannot see it",
                where=answer.where,
                hint="check source.project and whose token it is",
            )
        case 405:
            return BackendError(
                f"GitLab does not allow this method here{said}",
                where=answer.where,
                hint="a moved project takes writes under its numeric id only: set source.project to that id",
            )
        case 413:
            return BackendError(
                "the document is larger than this GitLab accepts",
                where=answer.where,
                hint="ask an administrator to raise max_terraform_state_size_bytes",
            )
        case 422 if "StateDeleted" in answer.message:
            return BackendError(
                "the state is scheduled for deletion in GitLab",
                where=answer.where,
                hint="find out who deleted it, and have it restored there",
            )
        case 429:
            return BackendUnreachableError(
                "GitLab's rate limit is reached", where=answer.where, hint="wait a minute and run the command again"
            )
        case status if status >= 500:
            return BackendUnreachableError(
                f"GitLab answers HTTP {status}{said}", where=answer.where, hint="run the command again"
            )
        case status:
            return BackendError(f"GitLab answers HTTP {status}{said}", where=answer.where)


def _build_redirect_error(answer: Answer) -> MigratorError:
    location = urlsplit(answer.headers.get("location", ""))
    there = f"{location.scheme}://{location.hostname or ''}{location.path}" if location.hostname else location.path
    return BackendError(
        f"GitLab redirects (HTTP {answer.status}) to {answer.quote(there) or 'nowhere'}; redirects are not followed",
        where=answer.where,
        hint="set source.url to the final address of GitLab, and source.project to the numeric id",
    )
