"""What the engine tells whoever watches. Reporters turn events into text; they never decide anything."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``name`` is one of: stage, step, undo, barrier, note. ``unit`` is a state, key or path; ``detail`` is for people."""

    name: str
    step: str = ""
    unit: str = ""
    detail: str = ""


Listener = Callable[[Event], None]


def ignore_events(event: Event) -> None:
    """Listen to nothing."""
