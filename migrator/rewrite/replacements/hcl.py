"""HCL: the s3 block, the config of remote state, and comments; aligned as ``tofu fmt`` wants it.

The s3 block never holds a credential and always locks (``use_lockfile``, OpenTofu >= 1.10). The skip_* arguments are
what an S3-compatible store without STS, IAM and an instance metadata service needs.
"""

import json
import re

from migrator.rewrite.claims import comment_groups, names_source
from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements.comments import build_comment
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError, build_key
from migrator.rewrite.spans import Span

_SKIPPED = (
    "skip_credentials_validation",
    "skip_requesting_account_id",
    "skip_metadata_api_check",
    "skip_region_validation",
    "skip_s3_checksum",
)


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    if located.kind is ReferenceKind.BACKEND_BLOCK:
        return _build_block(located, text, target)
    if located.kind is ReferenceKind.REMOTE_STATE:
        return _build_remote_state(located, text, target)
    if located.kind is ReferenceKind.BACKEND_COMMENT:
        return build_comment(located, text, target)
    if located.kind is ReferenceKind.INIT_FLAGS:
        return _build_settings(located, text, target)
    raise CannotReplaceError(f"{located.kind} has no replacement in HCL")


def _build_settings(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return what a file for ``-backend-config`` holds: the key alone where the block holds the rest."""
    key = _build_key(located, target)
    arguments = [("key", f'"{key}"')] if target.style == "inline" else build_arguments(target, key=key, lock=True)
    return ("\r\n" if "\r\n" in text else "\n").join(align(arguments))


def build_arguments(target: TargetCoordinates, *, key: str | None, lock: bool) -> list[tuple[str, str]]:
    """Return the arguments of the s3 backend as (name, HCL expression); ``key`` only where one state is meant."""
    arguments = [("bucket", _quote(target.bucket))]
    if key is not None:
        arguments.append(("key", f'"{key}"'))
    arguments += [("region", _quote(target.region)), ("endpoints", f"{{ s3 = {_quote(target.endpoint)} }}")]
    if target.path_style:
        arguments.append(("use_path_style", "true"))
    if lock:
        arguments.append(("use_lockfile", "true"))
    return arguments + [(name, "true") for name in _SKIPPED]


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{")
    return f'"{escaped}"'


def _build_block(located: Located, text: str, target: TargetCoordinates) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = _indent_at(text, located.span.start)
    if located.detail.get("syntax") == "json":
        return _build_json(located, target).replace("\n", newline + indent)
    unit = "\t" if indent.endswith("\t") else "  "
    kept = _kept_comments(located.span.of(text))
    if target.style == "partial" and located.state is None:
        if not kept:
            return 'backend "s3" {}'
        return newline.join(['backend "s3" {', *(f"{indent}{unit}{line}" for line in kept), f"{indent}}}"])
    key = None if located.state is None else _build_key(located, target)
    lines = [*kept, *([] if key else _comment_on_key(target)), *align(build_arguments(target, key=key, lock=True))]
    return newline.join(['backend "s3" {', *(f"{indent}{unit}{line}" for line in lines), f"{indent}}}"])


def _build_json(located: Located, target: TargetCoordinates) -> str:
    """Return ``"s3": {...}``; the JSON syntax has no comments, so that nothing says where the key comes from."""
    if target.style == "partial" and located.state is None:
        return '"s3": {}'
    key = None if located.state is None else _build_key(located, target)
    arguments: dict[str, object] = {"bucket": target.bucket}
    if key is not None:
        arguments["key"] = key
    arguments |= {"region": target.region, "endpoints": {"s3": target.endpoint}}
    arguments |= {"use_path_style": True} if target.path_style else {}
    arguments |= {"use_lockfile": True} | dict.fromkeys(_SKIPPED, True)
    return '"s3": ' + json.dumps(arguments, indent=2)


def _comment_on_key(target: TargetCoordinates) -> list[str]:
    key = build_key(target, "<state>", stack="<stack>", environment="<environment>")
    return [
        "# The key is given at init, as each environment has a state of its own:",
        f'#   -backend-config="key={key}"',
        f"# Credentials come from {ACCESS_KEY} and {SECRET_KEY}.",
    ]


def _kept_comments(block: str) -> list[str]:
    """Return the lines of the comments in a block that say nothing about the source."""
    kept: list[str] = []
    inner = Span(block.index("{") + 1, block.rindex("}"))
    for mark in ("#", "//"):
        for group in comment_groups(block, mark, region=inner):
            if not names_source(group.of(block)):
                kept += [line.strip() for line in group.of(block).split("\n")]
    return kept


def _build_remote_state(located: Located, text: str, target: TargetCoordinates) -> str:
    original = located.span.of(text)
    backend, config = (_relative(located.detail[name]) for name in ("backend", "config"))
    indent = _indent_at(text, located.span.start)
    arguments = build_arguments(target, key=_build_key(located, target), lock=False)
    name = re.match(r"config\s*=\s*", config.of(original))
    if name is None:
        raise CannotReplaceError("the config of the remote state is not an assignment")
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = "\t" if indent.endswith("\t") else "  "
    if "\n" in config.of(original):
        lines = [f"{name.group()}{{", *(f"{indent}{unit}{line}" for line in align(arguments)), f"{indent}}}"]
        new_config = newline.join(lines)
    else:
        new_config = name.group() + "{ " + ", ".join(f"{key} = {value}" for key, value in arguments) + " }"
    pieces = sorted([(backend, '"s3"'), (config, new_config)])
    (first, first_text), (second, second_text) = pieces
    between = original[first.end : second.start]
    return original[: first.start] + first_text + between + second_text + original[second.end :]


def _relative(positions: str) -> Span:
    start, end = positions.split(":")
    return Span(int(start), int(end))


def _build_key(located: Located, target: TargetCoordinates) -> str:
    assert located.state is not None  # the locator gives a state wherever a key is asked for
    detail = located.detail
    return build_key(target, located.state, stack=detail.get("stack"), environment=detail.get("environment"))


def align(arguments: list[tuple[str, str]]) -> list[str]:
    """Return ``name = value`` lines with their signs in one column."""
    width = max(len(name) for name, _ in arguments)
    return [f"{name:<{width}} = {value}" for name, value in arguments]


def _indent_at(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip())]
