"""rich's console, which lets escape sequences through that stand in the text that it is given: this one shows them."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from migrator.report.visible import make_visible


class SafeConsole(Console):
    """Colours are the console's own; a character that a terminal would obey is shown wherever a text holds one."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, safe to write."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(make_visible(segment.text), segment.style)
