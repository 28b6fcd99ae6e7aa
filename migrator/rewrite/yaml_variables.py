"""Runs of TF_HTTP_* keys in YAML mappings: ``variables:`` of GitLab CI, ``env:`` of GitHub, ``environment:`` of compose.

A run is one reference, with the comment above it when that is about it. Where the mapping holds nothing else, the key
that would be left dangling belongs to the run. Where credentials came with it, the target's take their place: by name
only, at the level at which every step that needs them sees them.

``detail``: ``indent`` (columns), ``credentials`` (``none``, ``comment``, ``secrets``, ``copy``), ``value`` (what
``copy`` copies), ``emptied`` (``no``, ``pair``, ``braces``), ``insert`` (``env``, ``pairs``: nothing stands here yet).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from migrator.rewrite.address import read_address
from migrator.rewrite.claims import accompanies_source
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span
from migrator.rewrite.yaml_jobs import CiJob, Pipeline
from migrator.rewrite.yaml_tree import YamlMapping, YamlNode, YamlPair, YamlScalar, YamlSequence, YamlTree

_HTTP = re.compile(r"TF_HTTP_[A-Z_]+")
_WRAPPER = re.compile(r"GITLAB_TOFU_\w+|TF_ADDRESS|TF_USERNAME|TF_PASSWORD")
_HOLDERS = frozenset({"variables", "env", "environment", "vars"})
_STATE_NAMES = ("TF_STATE_NAME", "STATE_NAME")
_READS_STATE = re.compile(
    r"\b(?:tofu|terraform)\s+(?:-chdir=\S+\s+)?"
    r"(?:plan|apply|destroy|refresh|output|state|import|show|taint|untaint|console|test|workspace|force-unlock)\b"
    r"|\b(?:tofu|terraform)\s+(?:-chdir=\S+\s+)?init\b(?![^\n]*-backend=false)"
)
_CREDENTIALS_REASON = "http backend variables; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have to be defined as "


@dataclass(frozen=True, slots=True)
class _Place:
    """A mapping, the pair whose value it is, and the mapping that this pair stands in."""

    mapping: YamlMapping
    holder: YamlPair | None
    parent: YamlMapping | None


def state_in_address(address: str | None, variables: Mapping[str, str] | None = None) -> str | None:
    """Return the state expression at the end of an address, looking one variable up when it is nothing else."""
    if address is None:
        return None
    alone = re.fullmatch(r"\$\{?(\w+)\}?", address)
    if alone and variables and alone[1] in variables:
        address = variables[alone[1]]
    return read_address(address).state


def locate_variables(text: str, tree: YamlTree, pipeline: Pipeline) -> Iterator[Located]:
    """Yield the runs of TF_HTTP_* keys, the variables of GitLab's wrappers, and the names that feed the key."""
    job_level = _jobs_that_need_credentials(tree, pipeline) if pipeline.dialect == "github" else {}
    for place in _places(tree):
        for run in _runs(place.mapping):
            yield _locate_run(text, place, run, pipeline=pipeline, moved=_job_of(run[0], job_level) is not None)
        for pair in place.mapping.pairs:
            if pair.name and _WRAPPER.fullmatch(pair.name):
                reason = f"{pair.name} is read by GitLab's wrapper script, which sets TF_HTTP_*: call tofu directly"
                yield _located(pair.span, Disposition.REPORT, reason)
            elif pair.name in _STATE_NAMES and isinstance(pair.value, YamlScalar):
                reason = "names the state: feeds the key in the target"
                yield _located(pair.span, Disposition.KEEP, reason, state=pair.value.value)
    for mapping in job_level.values():
        yield from _locate_insertion(text, mapping)


def _places(tree: YamlTree) -> Iterator[_Place]:
    pending = [_Place(root, None, None) for root in tree.documents if isinstance(root, YamlMapping)]
    pending += [
        place for root in tree.documents if isinstance(root, YamlSequence) for place in _below(root, None, None)
    ]
    while pending:
        place = pending.pop()
        yield place
        for pair in place.mapping.pairs:
            pending += _below(pair.value, pair, place.mapping)


def _below(node: YamlNode | None, holder: YamlPair | None, parent: YamlMapping | None) -> list[_Place]:
    if isinstance(node, YamlMapping):
        return [_Place(node, holder, parent)]
    if isinstance(node, YamlSequence):
        return [place for item in node.items for place in _below(item, None, None)]
    return []


def _runs(mapping: YamlMapping) -> list[list[YamlPair]]:
    runs: list[list[YamlPair]] = []
    previous = False
    for pair in mapping.pairs:
        matches = pair.name is not None and _HTTP.fullmatch(pair.name) is not None
        if matches and previous:
            runs[-1].append(pair)
        elif matches:
            runs.append([pair])
        previous = matches
    return runs


def _locate_run(text: str, place: _Place, run: list[YamlPair], *, pipeline: Pipeline, moved: bool) -> Located:
    start, end = text.rfind("\n", 0, run[0].span.start) + 1, _line_end(text, run[-1].span.end)
    values = {pair.name: pair.value.value for pair in run if pair.name and isinstance(pair.value, YamlScalar)}
    state = state_in_address(values.get("TF_HTTP_ADDRESS"))
    before, after = text[start : run[0].span.start], text[run[-1].span.end : end]
    if place.mapping.flow or before.strip() or (after.strip() and not re.match(r"\s+#", after)):
        span = Span(run[0].span.start, run[-1].span.end)
        return _located(
            span, Disposition.REPORT, "http backend variables that do not stand on lines of their own", state=state
        )
    if not _holds_variables(place) or not all(_is_value(pair) for pair in run):
        span = Span(run[0].span.start, run[-1].span.end)
        return _located(
            span, Disposition.REPORT, "names of http backend variables in a place that sets none", state=state
        )
    credentials, doubt = _credentials(place.mapping, values, pipeline)
    if doubt:
        return _located(Span(run[0].span.start, run[-1].span.end), Disposition.REPORT, doubt, state=state)
    if moved:
        credentials = "none"
    emptied = _emptied(text, place, run) if credentials in ("none", "comment") else "no"
    if emptied == "doubt":
        span = Span(run[0].span.start, run[-1].span.end)
        return _located(
            span, Disposition.REPORT, "http backend variables; nothing else is left of this mapping", state=state
        )
    start, indent = _start(text, place, start=start, indent=len(before), emptied=emptied)
    # The last line's break stays outside: at the end of a file there may be none.
    span = Span(start, end if emptied == "braces" else _past_break(text, end))
    detail = {"indent": str(indent), "credentials": credentials, "emptied": emptied, "value": _raw(text, run)}
    where = {"secrets": "secrets of the repository", "comment": "masked CI/CD variables", "copy": "variables here"}
    reason = _CREDENTIALS_REASON + where[credentials] if credentials in where else "http backend variables"
    return _located(span, Disposition.REWRITE, reason, state=state, detail=detail)


def _holds_variables(place: _Place) -> bool:
    """Say whether a mapping sets variables: ``secrets:`` of a job or ``data:`` of a manifest only name them."""
    name = place.holder.name if place.holder else None
    return name is not None and (name in _HOLDERS or name.startswith((".", "x-")))


def _is_value(pair: YamlPair) -> bool:
    """Say whether a variable has a value: text, or GitLab's mapping with ``value:``."""
    if isinstance(pair.value, YamlMapping):
        return pair.value.pair("value") is not None
    return not isinstance(pair.value, YamlSequence)


def _credentials(mapping: YamlMapping, values: Mapping[str, str], pipeline: Pipeline) -> tuple[str, str]:
    """Return how the target's credentials get here, and why that is in doubt (empty: it is not)."""
    if any(pair.name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") for pair in mapping.pairs):
        return "none", "http backend variables beside AWS_* for something else: the state backend would use those"
    password = values.get("TF_HTTP_PASSWORD")
    if pipeline.dialect == "gitlab":
        return ("comment" if {"TF_HTTP_PASSWORD", "TF_HTTP_ADDRESS"} & set(values) else "none"), ""
    if password is None:
        return "none", ""
    if pipeline.dialect == "github":
        doubt = (
            "" if "secrets." in password else "http backend variables; where the password comes from is not a secret"
        )
        return "secrets", doubt
    if re.fullmatch(r"\$\{?TF_HTTP_PASSWORD\b[^}]*\}?|\{\{\s*\.TF_HTTP_PASSWORD\s*\}\}", password):
        return "copy", ""
    return "none", "http backend variables; say where AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY come from"


def _emptied(text: str, place: _Place, run: list[YamlPair]) -> str:
    """Say what becomes of the key above a mapping that consists of this run."""
    if len(run) < len(place.mapping.pairs):
        return "no"
    if place.holder is None:
        return "doubt"
    key_line = text[place.holder.key.span.start : _line_end(text, place.holder.key.span.start)]
    own_line = not text[text.rfind("\n", 0, place.holder.span.start) + 1 : place.holder.span.start].strip()
    only = place.parent is None or len(place.parent.pairs) == 1
    if own_line and not only and place.mapping.anchor is None and "&" not in key_line:
        return "pair"
    return "doubt" if "#" in key_line else "braces"


def _start(text: str, place: _Place, *, start: int, indent: int, emptied: str) -> tuple[int, int]:
    if emptied == "no" or place.holder is None:
        return _with_comment(text, start), indent
    key = place.holder.key.span.start
    if emptied == "braces":
        return _line_end(text, key), indent
    line = text.rfind("\n", 0, key) + 1
    return line, key - line


def _with_comment(text: str, start: int) -> int:
    """Return where the comment directly above begins, when it is about the source; otherwise ``start``."""
    top = start
    while top > 0:
        above = text.rfind("\n", 0, top - 1) + 1
        if not text[above:top].lstrip(" \t").startswith("#"):
            break
        top = above
    return top if top < start and accompanies_source(text[top:start]) else start


def _line_end(text: str, offset: int) -> int:
    found = re.compile(r"\r?$", re.MULTILINE).search(text, offset)
    return found.start() if found else len(text)


def _past_break(text: str, end: int) -> int:
    return end + (2 if text.startswith("\r\n", end) else 1 if text.startswith("\n", end) else 0)


def _raw(text: str, run: list[YamlPair]) -> str:
    """Return the password's value as written, quotes included."""
    pair = next((pair for pair in run if pair.name == "TF_HTTP_PASSWORD"), None)
    return pair.value.span.of(text) if pair and pair.value else ""


def _jobs_that_need_credentials(tree: YamlTree, pipeline: Pipeline) -> dict[str, YamlMapping]:
    """Return GitHub jobs whose steps read state beyond the step that had the password.

    The http backend saved its password at init; the s3 backend reads the environment each time.
    """
    found: dict[str, YamlMapping] = {}
    root = next((one for one in tree.documents if isinstance(one, YamlMapping)), None)
    jobs = tree.resolve(root.get("jobs")) if root else None
    for name, job in pipeline.jobs.items():
        mapping = tree.resolve(jobs.get(name)) if isinstance(jobs, YamlMapping) else None
        if isinstance(mapping, YamlMapping) and _lacks_credentials(job, pipeline):
            found[name] = mapping
    return found


def _lacks_credentials(job: CiJob, pipeline: Pipeline) -> bool:
    def has(variables: Mapping[str, object]) -> bool:
        return "TF_HTTP_PASSWORD" in variables or "AWS_ACCESS_KEY_ID" in variables

    if has(job.variables) or has(pipeline.variables) or not any(has(step.variables) for step in job.steps):
        return False
    reading = [step for step in job.steps if step.run and _READS_STATE.search(step.run.value)]
    return any(not has(step.variables) for step in reading)


def _job_of(pair: YamlPair, jobs: Mapping[str, YamlMapping]) -> str | None:
    inside = [name for name, one in jobs.items() if one.span.start <= pair.span.start < one.span.end]
    return inside[0] if inside else None


def _locate_insertion(text: str, job: YamlMapping) -> Iterator[Located]:
    env, steps = job.pair("env"), job.pair("steps")
    target = env.value.pairs[0] if env and isinstance(env.value, YamlMapping) and env.value.pairs else steps
    if target is None:
        return
    line = text.rfind("\n", 0, target.span.start) + 1
    if text[line : target.span.start].strip() or job.flow or (env and target is steps):
        reason = "steps of this job read state and need AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        yield _located(Span(target.span.start, target.span.start), Disposition.REPORT, reason)
        return
    detail = {
        "indent": str(target.span.start - line),
        "credentials": "secrets",
        "insert": "pairs" if env else "env",
        "emptied": "no",
    }
    reason = "every step of this job that reads state needs the credentials: the s3 backend does not save them at init"
    yield _located(Span(line, line), Disposition.REWRITE, reason, detail=detail)


def _located(
    span: Span,
    disposition: Disposition,
    reason: str,
    *,
    state: str | None = None,
    detail: Mapping[str, str] | None = None,
) -> Located:
    return Located(
        kind=ReferenceKind.CI_VARIABLE,
        span=span,
        disposition=disposition,
        reason=reason,
        state=state,
        detail={"language": "yaml", **(detail or {})},
    )
