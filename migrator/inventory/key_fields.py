"""PURE: what a state's expression says about stack and environment, for keys that are built from them.

Only what is plain: a name that the stack is known to have, the stack's own name in front, or ``{{stack}}-{{env}}``. The
rest stays unknown, and a key template that needs it is refused where the file would be rewritten.
"""

import re
from collections.abc import Sequence

from migrator.inventory.model import Stack

_EXPRESSION = r"\{\{[^{}]*\}\}|\$\{\w+\}|\$\w+"
_STACK_AND_ENVIRONMENT = re.compile(
    rf"(?P<stack>\{{\{{\s*stack\s*\}}\}}|\$\{{stack\}}|\$stack)-(?P<environment>{_EXPRESSION}|\w+)", re.IGNORECASE
)


def find_key_fields(state: str | None, stacks: Sequence[Stack]) -> dict[str, str]:
    """Return ``stack`` and ``environment``, as far as known, in the language around the expression ``state``."""
    if state is None:
        return {}
    if len(stacks) != 1:
        match = _STACK_AND_ENVIRONMENT.fullmatch(state)
        return match.groupdict() if match else {}
    stack = stacks[0]
    fields = {"stack": stack.name}
    known = [one.environment for one in stack.states if one.name == state and one.environment is not None]
    if known:
        fields["environment"] = known[0]
    elif state.startswith(f"{stack.name}-"):
        fields["environment"] = state.removeprefix(f"{stack.name}-")
    return fields
