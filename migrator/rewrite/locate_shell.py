"""Locate what names or configures the state backend in shell: whole scripts and parts of other files."""

from collections.abc import Mapping
from types import MappingProxyType

from migrator.rewrite.reference import Located
from migrator.rewrite.shell_source import Mask, mask_expressions, mask_just, mask_nothing
from migrator.rewrite.spans import Span

__all__ = ["locate_shell", "mask_expressions", "mask_just", "mask_nothing"]

_NO_ADDRESSES: Mapping[str, str] = MappingProxyType({})


def locate_shell(
    text: str,
    *,
    region: Span | None = None,
    indent: int = 0,
    mask: Mask = mask_nothing,
    inherited_state: str | None = None,
    addresses: Mapping[str, str] = _NO_ADDRESSES,
) -> tuple[Located, ...]:
    """Return the references in ``region`` of ``text`` (default: all of it), in order, with positions in ``text``.

    ``region`` must start at the beginning of a line or of a command. ``indent`` is how many columns of each line of the
    region belong to the surrounding language (a YAML block scalar, a just recipe): at most that much blank space is
    ignored at the start of each line, so that heredocs end where the shell sees their end. ``mask`` hides the
    interpolations of the surrounding language. ``inherited_state`` is the state expression of TF_HTTP_ADDRESS when the
    region runs with TF_HTTP_* set from outside (CI variables): a bare init and reads of ${TF_HTTP_ADDRESS} are then
    understood. ``addresses`` gives texts of variables set outside: ``{"TF_ADDRESS": "https://.../terraform/state/x"}``,
    for a variable of just ``{"{{address}}": "..."}``.

    Kinds: init-flags, bare-init, environment-export, environment-read, credential-check, state-list, state-unlock,
    state-url, backend-comment, prose (text that an echo or printf shows). ``detail["language"]`` is ``shell``.
    Arbitrary text never raises: what tree-sitter cannot parse and yet names TF_HTTP_* is reported.
    """
    return ()
