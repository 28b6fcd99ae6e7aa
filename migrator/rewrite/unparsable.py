"""The one error of the locators: a text that must parse does not."""


class UnparsableError(ValueError):
    """A text that matters cannot be parsed; ``line`` and ``column`` count from 1, in the whole text."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.line = line
        self.column = column
        self.reason = reason
