"""What a locator returns: one place in a text that names or configures the state backend.

Locators say *where* and *what*; ``replacements`` says with which words. A locator that is not certain still returns the
place, with the disposition ``REPORT`` and a reason: nothing is guessed and nothing is dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from migrator.rewrite.spans import Span


class ReferenceKind(StrEnum):
    """Kinds of reference; the values are part of the inventory's JSON."""

    BACKEND_BLOCK = "backend-block"  # backend "http" { ... } in HCL or its JSON syntax
    BACKEND_COMMENT = "backend-comment"  # a comment that says where state lives or how to reach it
    REMOTE_STATE = "remote-state"  # terraform_remote_state that reads from the source
    INIT_FLAGS = "init-flags"  # the http backend flags of one init command
    BARE_INIT = "bare-init"  # an init that took its backend from TF_HTTP_*
    ENVIRONMENT_EXPORT = "environment-export"  # shell statements that set TF_HTTP_*
    ENVIRONMENT_READ = "environment-read"  # shell that reads TF_HTTP_*
    CREDENTIAL_CHECK = "credential-check"  # a test whether TF_HTTP_PASSWORD is set, and its message
    STATE_LIST = "state-list"  # a command that lists states through GitLab's API
    STATE_UNLOCK = "state-unlock"  # a command that removes GitLab's lock
    STATE_URL = "state-url"  # an address .../terraform/state/... anywhere else
    SOURCE_SETTING = "source-setting"  # an assignment that exists only to build the source's address
    CI_VARIABLE = "ci-variable"  # TF_HTTP_* in CI variables or env
    DOTENV_VARIABLE = "dotenv-variable"  # TF_HTTP_* in .env files
    PROSE = "prose"  # a claim in a document


# What is only said, in contrast to what works.
WORDS = frozenset({ReferenceKind.PROSE, ReferenceKind.BACKEND_COMMENT})


class Disposition(StrEnum):
    """What becomes of a reference."""

    REWRITE = "rewrite"  # the tool changes these lines
    REPORT = "report"  # a person decides; the reason says what and why
    KEEP = "keep"  # recognised and left alone on purpose, with the reason


_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """One reference in one text.

    ``span`` is exactly the text that a replacement takes the place of. ``state`` is the expression, in the language
    around it, that yields the state's name (``{{stack}}-{{env}}``, ``${TF_STATE_NAME}``, ``attic-dev``), None when
    nothing in sight says it. ``detail`` holds what the replacement of this kind needs (documented there).
    """

    kind: ReferenceKind
    span: Span
    disposition: Disposition
    reason: str
    state: str | None = None
    detail: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCoordinates:
    """Where state will live, in the terms that files are written in. Never a credential.

    ``key`` is a template in which only ``{state}``, ``{stack}`` and ``{environment}`` are left open. ``style`` is
    ``inline`` or ``partial`` (interface.md section 3). Credentials always reach OpenTofu's s3 backend by
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: it reads no other names.
    """

    endpoint: str
    bucket: str
    region: str
    key: str
    path_style: bool
    style: str
