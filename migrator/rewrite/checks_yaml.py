"""Check a rewritten YAML text: it parses, and apart from what was meant to change it means what it meant.

Meant to change: TF_HTTP_* keys go, AWS credentials come, mappings that held nothing else go or stand empty, and scalars
that named the source have another text. Jobs, ``extends``, ``needs``, ``stages``, ``rules``, ``artifacts``, anchors and
aliases, the order of everything and every other value must be the same.
"""

import re
from collections.abc import Iterator

from migrator.rewrite.checks import ResultCheckError
from migrator.rewrite.unparsable import UnparsableError
from migrator.rewrite.yaml_tree import (
    YamlAlias,
    YamlMapping,
    YamlNode,
    YamlScalar,
    YamlSequence,
    YamlTree,
    read_yaml_tree,
)

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_VARIABLES = ("variables", "env", "environment", "vars")
_NAMES_SOURCE = re.compile(r"TF_HTTP_|-backend-config|/terraform/states?\b|\binit\b|GitLab", re.IGNORECASE)

_SETTING = re.compile(r"(?:export\s+)?(?:TF_HTTP_|AWS_)\w+=")

_Entry = tuple[str, str]  # path, what stands there


def check_yaml(before: str, after: str) -> None:
    """Check that ``after`` is YAML with the job graph of ``before``.

    Raises: ResultCheckError, naming the first place that differs.
    """
    try:
        tree_before = read_yaml_tree(before)
    except UnparsableError:
        return  # nothing can be compared; locators refuse such a file before this
    try:
        tree_after = read_yaml_tree(after)
    except UnparsableError as error:
        raise ResultCheckError(f"the rewritten file is not YAML: {error}") from error
    old, new = dict(_entries(tree_before)), dict(_entries(tree_after))
    for path in (path for path in [*old, *new] if old.get(path) != new.get(path)):
        if path in new and path in old and _may_change(old[path], new[path]):
            continue
        raise ResultCheckError(f"the rewritten file differs at {path or 'its top'}, where nothing was meant to change")
    if list(old) != list(new):
        raise ResultCheckError("the rewritten file has its keys in another order")


def _may_change(old: str, new: str) -> bool:
    """Say whether a scalar may have got this text: the same style, and the source was in it."""
    old_style, old_value = old.split("\0", 1) if "\0" in old else ("", old)
    new_style, new_value = new.split("\0", 1) if "\0" in new else ("", new)
    return old_style == new_style != "" and _NAMES_SOURCE.search(old_value) is not None and new_value.strip() != ""


def _entries(tree: YamlTree) -> Iterator[_Entry]:
    for index, root in enumerate(tree.documents):
        yield from _walk(root, f"document {index + 1}" if index else "")


def _walk(node: YamlNode | None, path: str) -> Iterator[_Entry]:
    if isinstance(node, YamlScalar):
        yield f"{path} {_marks(node)}".strip(), f"{node.style}\0{node.value}"
    elif isinstance(node, YamlAlias):
        yield path, f"*{node.name}"
    elif isinstance(node, YamlSequence):
        yield f"{path} {_marks(node)}".strip(), "sequence"
        for number, item in enumerate(_kept_items(node)):
            yield from _walk(item, f"{path}[{number}]")
    elif isinstance(node, YamlMapping):
        yield f"{path} {_marks(node)}".strip(), "mapping"
        for pair in node.pairs:
            if not _is_meant(pair.name, pair.value):
                yield from _walk(pair.value, f"{path}.{pair.name}" if path else f"{pair.name}")
                if pair.value is None:
                    yield f"{path}.{pair.name}", "nothing"


def _kept_items(node: YamlSequence) -> list[YamlNode | None]:
    return [item for item in node.items if not (isinstance(item, YamlScalar) and _is_only_settings(item.value))]


def _is_only_settings(value: str) -> bool:
    """Say whether every line of a list item sets a variable of either backend, or whether it does nothing at all."""
    if value == "true":  # stands where a list of settings would be left empty
        return True
    lines = [line.strip() for line in value.split("\n")]
    settings = [line for line in lines if line and not line.startswith("#")]
    return bool(settings) and all(_SETTING.match(line) and ";" not in line and "&" not in line for line in settings)


def _is_meant(name: str | None, value: YamlNode | None) -> bool:
    """Say whether a pair was meant to come or go: a variable of either backend, or a mapping of nothing else."""
    if name is None:
        return False
    if name.startswith("TF_HTTP_") or name in _CREDENTIALS:
        return True
    empty = isinstance(value, YamlMapping) and all(_is_meant(pair.name, pair.value) for pair in value.pairs)
    anchored = isinstance(value, YamlMapping) and value.anchor is not None
    return name in _VARIABLES and empty and not anchored


def _marks(node: YamlScalar | YamlSequence | YamlMapping) -> str:
    anchor = f"&{node.anchor}" if node.anchor else ""
    tag = getattr(node, "tag", None) or ""
    return f"{anchor} {tag}".strip()
