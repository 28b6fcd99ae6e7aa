"""A stub runner: it resolves jobs of GitLab and GitHub as their own documentation says, by code that is not ours to test,
and runs their scripts with bash, real programs only where a test wants them.

GitLab: ``include:local``, ``extends`` (maps merge, everything else replaces), ``!reference``, anchors, ``variables`` on two
levels, ``parallel:matrix``. GitHub: ``env`` on three levels, ``${{ inputs.x }}`` and ``${{ secrets.x }}``, ``working-directory``.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_KEYWORDS = {"stages", "include", "workflow", "variables", "default", "image", "services", "cache", "before_script"}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_EXPRESSION = re.compile(r"\$\{\{\s*(\w+)\.(\w+)\s*\}\}")


class _Loader(yaml.SafeLoader):
    """GitLab's YAML."""


class _Reference(list[str]):
    """A ``!reference``."""


_Loader.add_constructor("!reference", lambda loader, node: _Reference(loader.construct_sequence(node)))


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a runner gives to bash: where it stands in the repository, its text, variables, and the folder it begins in."""

    name: str
    text: str
    variables: dict[str, str]
    directory: str = ""


def read_gitlab_jobs(root: Path, predefined: Mapping[str, str]) -> Iterator[Script]:
    """Yield each job that is no template, one for every line of its matrix."""
    document = _read_includes(root, ".gitlab-ci.yml")
    for name, job in document.items():
        if name.startswith(".") or name in _KEYWORDS or not isinstance(job, dict):
            continue
        resolved = _extend(document, job)
        lines = [
            *_flatten(document, resolved.get("before_script", [])),
            *_flatten(document, resolved.get("script", [])),
        ]
        for row in _read_matrix(resolved):
            variables = {**document.get("variables", {}), **resolved.get("variables", {}), **row}
            yield Script(
                name=" ".join([name, *row.values()]),
                text="\n".join(lines),
                variables={**predefined, **_expand({**predefined, **variables}, variables)},
            )


def _read_includes(root: Path, path: str) -> dict[str, Any]:
    document = yaml.load((root / path).read_text(), _Loader)  # noqa: S506
    merged: dict[str, Any] = {}
    for include in document.pop("include", []):
        merged = _merge(merged, _read_includes(root, include["local"]))
    return _merge(merged, document)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _extend(document: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    parents = job.get("extends", [])
    for parent in [parents] if isinstance(parents, str) else parents:
        merged = _merge(merged, _extend(document, document[parent]))
    return _merge(merged, {key: value for key, value in job.items() if key != "extends"})


def _flatten(document: dict[str, Any], script: Any) -> list[str]:
    if isinstance(script, _Reference):
        found: Any = document[script[0]]
        found = _extend(document, found) if isinstance(found, dict) else found
        for key in script[1:]:
            found = found[key]
        return _flatten(document, found)
    return [script] if isinstance(script, str) else [line for part in script for line in _flatten(document, part)]


def _read_matrix(job: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for matrix in job.get("parallel", {}).get("matrix", [{}]):
        values = [value if isinstance(value, list) else [value] for value in matrix.values()]
        rows += [dict(zip(matrix, row, strict=True)) for row in itertools.product(*values)]
    return rows


def _expand(known: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Each value expanded once, as a runner does; what nobody knows stays as it is written."""

    def put(match: re.Match[str]) -> str:
        return str(known.get(match[1] or match[2], match[0]))

    return {name: _VARIABLE.sub(put, str(value)) for name, value in variables.items()}


def read_github_steps(
    path: Path, *, inputs: Mapping[str, str], secrets: Mapping[str, str]
) -> Iterator[tuple[str, list[Script]]]:
    """Yield each job with its steps that run a script."""
    workflow = yaml.safe_load(path.read_text())

    def fill(text: str, environment: Mapping[str, str]) -> str:
        known = {"inputs": inputs, "secrets": secrets, "env": environment}
        return _EXPRESSION.sub(lambda match: str(known[match[1]][match[2]]), text)

    for name, job in workflow["jobs"].items():
        steps = []
        for step in job["steps"]:
            environment: dict[str, str] = {}
            for level in (workflow, job, step):
                environment |= {key: fill(str(value), environment) for key, value in level.get("env", {}).items()}
            if "run" in step:
                script = Script(
                    name=f"{name}: {step.get('name', step['run'])}",
                    text=fill(step["run"], environment),
                    variables=environment,
                    directory=step.get("working-directory", ""),
                )
                steps.append(script)
        yield name, steps
