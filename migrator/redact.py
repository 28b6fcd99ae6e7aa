"""PURE: secrets struck from text that others wrote.

A server, a proxy in front of it, or a program may echo what it was sent: a header in an error page, a key in an XML
error. Whatever quotes such words strikes the known secrets first, and only then shortens: half a secret is one, too.
"""

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

STRUCK = "[secret]"
_SHORTEST = 3  # anything shorter stands in every text


class Redactor:
    """Strikes ``secrets``, also as they stand in a URL and in HTTP's basic authentication."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        plain = {secret for secret in secrets if secret and len(secret) >= _SHORTEST}
        forms = {form for secret in plain for form in _spell(secret)}
        # Longest first: a secret may be part of another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"

    def __call__(self, text: str) -> str:
        """Return ``text`` without the secrets."""
        for form in self._forms:
            text = text.replace(form, STRUCK)
        return text


def _spell(secret: str) -> Iterable[str]:
    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), b64encode(secret.encode()).decode())


def redact_nothing(text: str) -> str:
    """Return ``text``: for words of which no secret can be part."""
    return text
