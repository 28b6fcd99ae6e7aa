"""Which root modules a repository has, and the backend block that OpenTofu would use in each.

A directory is a stack when it declares a ``backend`` or ``cloud`` block, or configures a provider and is called as a
module by nobody. Follows OpenTofu's rules for which files count (parser_config_dir.go, module.go): ``foo.tofu`` hides
``foo.tf``, names with ``.``, ``~`` or ``#`` are not read, an override file's backend replaces the whole block. Files that
cannot be parsed are skipped here; ``references`` reports them.
"""

import json
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from migrator.errors import ConfigurationError
from migrator.inventory.model import Backend, Stack, build_place
from migrator.inventory.tree import RepositoryTree
from migrator.rewrite.outline import OutlineError, read_literal, read_outline, read_template
from migrator.rewrite.spans import Span

_SUFFIXES = (".tofu.json", ".tf.json", ".tofu", ".tf")
_HIDES = {".tofu": ".tf", ".tofu.json": ".tf.json"}
_WORTH_PARSING = (b"backend", b"cloud", b"module", b"provider")
_GITLAB_STATE = re.compile(r"/terraform/state(?:/|$)")


@dataclass(slots=True)
class _Module:
    backend: Backend | None = None
    calls: frozenset[str] = frozenset()
    configures_provider: bool = False


def discover_stacks(tree: RepositoryTree) -> tuple[Stack, ...]:
    """Return the stacks of the repository by directory, without their states."""
    modules = {directory: _read_module(tree, directory, paths) for directory, paths in _module_files(tree).items()}
    called = {
        posixpath.normpath(posixpath.join(directory, source))
        for directory, module in modules.items()
        for source in module.calls
    }
    roots = [
        directory
        for directory, module in sorted(modules.items())
        if module.backend or (module.configures_provider and directory not in called)
    ]
    names = _name_stacks(roots)
    return tuple(
        Stack(name=names[directory], directory=directory, backend=modules[directory].backend, states=())
        for directory in roots
    )


def is_gitlab_backend(stack: Stack) -> bool:
    """Return whether the stack's block is GitLab's: ``http``, and an address in the block, if any, is of GitLab's API."""
    backend = stack.backend
    if backend is None or backend.type != "http":
        return False
    return backend.address is None or bool(_GITLAB_STATE.search(backend.address))


def _module_files(tree: RepositoryTree) -> dict[str, list[str]]:
    directories: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for path in tree.paths:
        directory, _, name = path.rpartition("/")
        suffix = next((one for one in _SUFFIXES if name.endswith(one)), None)
        if suffix and not name.startswith((".", "#")):
            directories[directory or "."][name.removesuffix(suffix), suffix] = path
    return {directory: _effective(files) for directory, files in directories.items()}


def _effective(files: dict[tuple[str, str], str]) -> list[str]:
    """Return the paths that OpenTofu reads, override files last, as it merges them."""
    hidden = {(stem, _HIDES[suffix]) for stem, suffix in files if suffix in _HIDES}
    kept = {key: path for key, path in files.items() if key not in hidden}
    return [path for _, path in sorted(kept.items(), key=lambda item: (_is_override(item[0][0]), item[1]))]


def _is_override(stem: str) -> bool:
    return stem == "override" or stem.endswith("_override")


def _read_module(tree: RepositoryTree, directory: str, paths: Iterable[str]) -> _Module:
    module = _Module()
    for path in paths:
        for found in _read_module_file(tree, path):
            module.backend = found.backend or module.backend
            module.calls |= found.calls
            module.configures_provider |= found.configures_provider
    return module


def _read_module_file(tree: RepositoryTree, path: str) -> Iterator[_Module]:
    try:
        if not any(word in tree.read_bytes(path) for word in _WORTH_PARSING):
            return
        text = tree.read_text(path)
        if text is not None:
            yield _read_json(text, path) if path.endswith(".json") else _read_hcl(text, path)
    except (ConfigurationError, OutlineError, ValueError, RecursionError):
        return  # references.py reports a file that cannot be read or parsed


def _read_hcl(text: str, path: str) -> _Module:
    module = _Module()
    for block in read_outline(text).blocks:
        if block.type == "provider":
            module.configures_provider = True
        elif block.type == "module":
            source = read_outline(text, block.body).attributes.get("source")
            module.calls |= _local_sources(read_literal(text, source) if source else None)
        elif block.type == "terraform":
            for inner in read_outline(text, block.body).blocks:
                if inner.type in {"backend", "cloud"}:
                    address = read_outline(text, inner.body).attributes.get("address")
                    module.backend = Backend(
                        type=inner.labels[0] if inner.labels else inner.type,
                        place=build_place(path, text, inner.span),
                        address=read_template(text, address) if address else None,
                    )
    return module


def _read_json(text: str, path: str) -> _Module:
    document = json.loads(text.removeprefix("\ufeff"))
    module = _Module(configures_provider=bool(_objects(document, "provider")))
    for calls in _objects(document, "module"):
        for name in calls:
            for call in _objects(calls, name):
                module.calls |= _local_sources(call.get("source"))
    for settings in _objects(document, "terraform"):
        for keyword in ("backend", "cloud"):
            for declared in _objects(settings, keyword):
                kind = next(iter(declared), keyword) if keyword == "backend" else keyword
                arguments = next(iter(_objects(declared, kind)), {})
                address = arguments.get("address")
                module.backend = Backend(
                    type=kind,
                    place=build_place(path, text, _json_member(text, keyword)),
                    address=address if isinstance(address, str) else None,
                )
    return module


def _objects(document: object, key: str) -> list[dict[str, object]]:
    """Return the objects under ``key``: JSON syntax allows one object or an array of them."""
    value = document.get(key) if isinstance(document, dict) else None
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _json_member(text: str, key: str) -> Span:
    found = re.search(rf'"{key}"\s*:\s*', text)
    if found is None:  # the key is written with escapes
        return Span(0, len(text))
    return Span(found.start(), json.JSONDecoder().raw_decode(text, found.end())[1])


def _local_sources(source: object) -> frozenset[str]:
    return frozenset([source]) if isinstance(source, str) and source.startswith(("./", "../")) else frozenset()


def _name_stacks(directories: list[str]) -> dict[str, str]:
    """Return a name for each directory: its last part where that is unique, else the whole path."""
    last = {directory: "root" if directory == "." else posixpath.basename(directory) for directory in directories}
    uses = Counter(last.values())
    return {directory: name if uses[name] == 1 else directory for directory, name in last.items()}
