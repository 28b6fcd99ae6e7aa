"""OpenTofu's LockInfo: the body of a lock request and of an S3 ``.tflock`` object.

Wire format: a JSON object with exactly these keys in this order, compact, as Go's encoder writes it (OpenTofu
``internal/states/statemgr/locker.go``). ``Created`` must be RFC 3339, or OpenTofu cannot read the lock.
"""

import json
from dataclasses import dataclass

_GO_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo:
    """Who holds a lock, since when and for what. ``created`` is RFC 3339 UTC text, kept as received."""

    id: str
    operation: str = ""
    info: str = ""
    who: str = ""
    version: str = ""
    created: str = ""
    path: str = ""

    def describe(self) -> str:
        """Return one phrase for a message: who, since when, for what, with which ID."""
        parts = [self.who or "an unknown holder"]
        if self.created:
            parts.append(f"since {self.created}")
        if self.operation:
            parts.append(f"for {self.operation}")
        if self.id:
            parts.append(f"lock ID {self.id}")
        return ", ".join(parts)


def encode_lock_info(info: LockInfo) -> bytes:
    """Return the JSON bytes that OpenTofu would have written."""
    document = {
        "ID": info.id,
        "Operation": info.operation,
        "Info": info.info,
        "Who": info.who,
        "Version": info.version,
        "Created": info.created,
        "Path": info.path,
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_GO_ESCAPES).encode()


def decode_lock_info(data: bytes) -> LockInfo | None:
    """Return the lock info in ``data``, None when it is not a LockInfo document (a conflict page, HTML, nothing)."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("ID"), str):
        return None

    def text(key: str) -> str:
        value = document.get(key, "")
        return value if isinstance(value, str) else ""

    return LockInfo(
        id=document["ID"],
        operation=text("Operation"),
        info=text("Info"),
        who=text("Who"),
        version=text("Version"),
        created=text("Created"),
        path=text("Path"),
    )
