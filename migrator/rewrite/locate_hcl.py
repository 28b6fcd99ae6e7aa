"""Locate what names the state backend in HCL. The only module that imports hcl2, which locates and never writes."""

from collections.abc import Mapping
from dataclasses import dataclass

from migrator.rewrite.reference import Located
from migrator.rewrite.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """``name = expression``: ``value`` is the string that a literal means, None for any other expression."""

    span: Span
    expression: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendBlock:
    """``backend "type" { ... }``; ``terraform_span`` is the terraform block around it."""

    type: str
    span: Span
    terraform_span: Span
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """``data "terraform_remote_state" "name"``; ``config`` is None when it is not a literal object."""

    name: str
    span: Span
    backend: Attribute | None
    workspace: Attribute | None
    config_span: Span | None
    config: Mapping[str, Attribute] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HclFile:
    """What a ``.tf`` or ``.tofu`` file says about state."""

    backends: tuple[BackendBlock, ...]
    clouds: tuple[Span, ...]
    remote_states: tuple[RemoteState, ...]
    required_version: Attribute | None
    provider_requirements: int


def read_hcl(text: str) -> HclFile:
    """Return what ``text`` declares at its top level.

    Raises: UnparsableError with line and column (``rewrite.unparsable``).
    """
    raise NotImplementedError(text)


def locate_hcl(text: str) -> tuple[Located, ...]:
    """Return the references in ``text``, in order of position; a text without any is not parsed.

    Raises: UnparsableError with line and column.
    """
    raise NotImplementedError(text)
