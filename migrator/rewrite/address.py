"""Addresses of GitLab's state API, in any language: the path says what is asked for and of which state.

``https://HOST/api/v4/projects/ID/terraform/state/NAME[/lock | /versions/SERIAL]``; without a name it lists.
Source: GitLab ``lib/api/terraform/state.rb``.
"""

import re
from dataclasses import dataclass

# One expression of a surrounding language: ${X}, ${{ x }}, {{x}}, <NAME>, $(command), $X; or plain characters.
_EXPRESSION = (
    r"\$\{\{(?:[^}]|\}(?!\}))*\}\}|\{\{(?:[^}]|\}(?!\}))*\}\}|\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\$\([^()]*\)|<[^<>\s]*>|\{[^{}\s]*\}"
    r"|\$\w+|\.\.\.|…"
)
_NAME = re.compile(rf"(?:{_EXPRESSION}|[\w.~%@:+-])+")
_PATH = re.compile(r"/terraform/states?(?=[/?\"'`\s]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an address names. ``state`` is None for a list; ``suffix`` is what follows the name (``/lock``)."""

    state: str | None
    suffix: str
    problem: str | None = None


def read_address(address: str) -> Address:
    """Return what ``address`` names; ``problem`` says why its state cannot be known."""
    if address in {"...", "…"}:
        return Address(state="...", suffix="")
    path = _PATH.search(address)
    if path is None:
        return Address(state=None, suffix="", problem="the address does not end in /terraform/state/NAME")
    rest = address[path.end() :]
    name = _NAME.match(rest, 1) if rest.startswith("/") else None
    if name is None:
        return Address(state=None, suffix=rest)
    state, suffix = name.group(), rest[name.end() :]
    if "%" in re.sub(_EXPRESSION, "", state):
        return Address(state=None, suffix=suffix, problem="the name of the state is percent-encoded")
    if suffix and not re.fullmatch(r"/(?:lock|versions/.*)", suffix):
        return Address(state=None, suffix=suffix, problem=f"the address goes on after the name of the state: {suffix}")
    return Address(state=state, suffix=suffix)
