"""Locate what names the source in YAML: CI files of GitLab and GitHub first, compose files and others where certain.

Variables are the business of ``yaml_variables``; scripts inside scalars are decoded and given to ``locate_shell`` with
what their jobs inherit, over ``extends`` and files; comments claim things or are jobs that somebody switched off.
``read_yaml_jobs`` gives the job graph itself.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from migrator.rewrite.claims import names_source
from migrator.rewrite.embedded import decode_scalar, embed
from migrator.rewrite.locate_comments import locate_comment
from migrator.rewrite.locate_shell import locate_shell, mask_expressions, mask_just, mask_nothing
from migrator.rewrite.locate_text import locate_traces, settle
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span
from migrator.rewrite.unparsable import UnparsableError
from migrator.rewrite.yaml_jobs import Pipeline, ScriptRun, collect_script_runs, read_yaml_jobs
from migrator.rewrite.yaml_tree import (
    YamlMapping,
    YamlPair,
    YamlScalar,
    YamlSequence,
    YamlTree,
    read_yaml_tree,
    walk_yaml,
)
from migrator.rewrite.yaml_variables import locate_variables, state_in_address

__all__ = ["Pipeline", "locate_yaml", "read_yaml_jobs"]

_MARKS = re.compile(
    r"TF_HTTP|TF_ADDRESS|GITLAB_TOFU|STATE_NAME|state_name|terraform|tofu|backend-config|http[ -]backend"
    r"|\bstates?\b",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"TF_HTTP_|-backend-config|/terraform/states?\b|(?:^|[\s/&;])(?:tofu|terraform)\s+(?:-\S+\s+)*init\b"
)
_WRAPPER_COMMAND = re.compile(r"\bgitlab-(?:tofu|terraform)\b[^\n]*")
_WRAPPER_COMPONENT = re.compile(
    r"components/(?:opentofu|terraform)|OpenTofu\.gitlab-ci|Terraform(?:/Base)?\.(?:latest\.)?gitlab-ci"
)
_INHERITING = (ReferenceKind.BARE_INIT, ReferenceKind.ENVIRONMENT_READ)
_UNKNOWN_STATE = "<state>"  # lets the shell locator see what depends on inherited variables; never written
_JOB_KEYS = frozenset(
    {"script", "extends", "variables", "stage", "needs", "rules", "environment", "before_script", "steps", "runs-on"}
)
_INACTIVE_NAMES = re.compile(r"(?:TF_)?STATE_NAME\s*:\s*[\"']?(?P<state>[^\s\"'#]+)")
_MATTERS = re.compile(r"STATE_NAME|TF_HTTP_|\btofu\b|\bterraform\b|backend-config", re.IGNORECASE)


def locate_yaml(text: str, *, inherited: Sequence[Pipeline] = ()) -> tuple[Located, ...]:
    """Return the references in a YAML text, in order of position; a text without any mark is not parsed.

    ``inherited`` are the job graphs of the other files of the same configuration (for GitLab: what ``include`` brings
    together), so that a script knows the variables of a template in another file.

    Raises: UnparsableError with line and column.
    """
    if not _MARKS.search(text):
        return ()
    tree, pipeline = read_yaml_tree(text), read_yaml_jobs(text)
    inactive = list(_locate_inactive_jobs(text, tree))
    scripts = list(_locate_scripts(text, tree, pipeline, inherited))
    found = [
        *_hold_back(locate_variables(text, tree, pipeline), scripts, pipeline),
        *scripts,
        *inactive,
        *_locate_claims(text, tree, inactive),
        *_locate_components(tree),
    ]
    found = list(settle(found))
    found += locate_traces(text, found)
    return settle([*found, *_locate_values(text, tree, pipeline, found)])


def _locate_values(text: str, tree: YamlTree, pipeline: Pipeline, found: Sequence[Located]) -> Iterator[Located]:
    """Report the lines of values (names, descriptions, files in a manifest) that say where state is."""
    scripts = {item.span for job in pipeline.jobs.values() for items in job.scripts.values() for item in items}
    scripts |= {step.run.span for job in pipeline.jobs.values() for step in job.steps if step.run}
    for scalar in _scalars(tree):
        if scalar.span in scripts or not names_source(scalar.value):
            continue
        for line in re.finditer(r"[^\s][^\n]*", scalar.span.of(text)):
            span = Span(scalar.span.start + line.start(), scalar.span.start + line.end())
            taken = any(one.span.start < span.end and span.start < one.span.end for one in found)
            if not taken and names_source(span.of(text)):
                yield Located(
                    kind=ReferenceKind.PROSE,
                    span=span,
                    disposition=Disposition.REPORT,
                    reason="a value that says that state is in GitLab: read it",
                    detail={"language": "yaml"},
                )


# --- scripts


def _locate_scripts(text: str, tree: YamlTree, pipeline: Pipeline, inherited: Sequence[Pipeline]) -> Iterator[Located]:
    runs = collect_script_runs(pipeline, inherited) if pipeline.dialect != "other" else {}
    found: dict[Span, list[Located]] = {}
    for scalar in _scalars(tree):
        if scalar.span in runs:
            found[scalar.span] = list(_locate_script(text, scalar, runs[scalar.span], pipeline=pipeline))
        elif _COMMAND.search(scalar.value) and _is_command(scalar):
            found[scalar.span] = list(_locate_script(text, scalar, [], pipeline=pipeline))
    for sequence in _block_sequences(tree):
        _take_whole_items(text, sequence, found)
    for references in found.values():
        yield from references


def _block_sequences(tree: YamlTree) -> Iterator[YamlSequence]:
    for root in tree.documents:
        yield from (node for node in walk_yaml(root) if isinstance(node, YamlSequence) and not node.flow)


def _take_whole_items(text: str, sequence: YamlSequence, found: dict[Span, list[Located]]) -> None:
    """Where exports are all that list items say, let one reference cover the items: empty ones must not stay behind."""
    whole = [item for item in sequence.items if isinstance(item, YamlScalar) and _is_only_exports(item, found)]
    nothing_left = len(whole) == len(sequence.items)
    runs: list[list[tuple[Span, YamlScalar]]] = []
    for item in whole:
        lines = _own_lines(text, item)
        if lines is None:
            continue
        if runs and runs[-1][-1][0].end == lines.start:
            runs[-1].append((lines, item))
        else:
            runs.append([(lines, item)])
    for run in runs:
        exports = [found.pop(item.span)[0] for _, item in run]
        items = [
            {
                "lines": [lines.start, lines.end],
                "span": [one.span.start, one.span.end],
                "embedded": one.detail["embedded"],
            }
            for (lines, _), one in zip(run, exports, strict=True)
        ]
        state = next((one.state for one in exports if one.state), None)
        detail = {**exports[0].detail, "items": json.dumps(items), "nothing_left": "yes" if nothing_left else "no"}
        span = Span(run[0][0].start, run[-1][0].end)
        found[run[0][1].span] = [replace(exports[0], span=span, state=state, detail=detail)]


def _own_lines(text: str, item: YamlScalar) -> Span | None:
    """Return the whole lines of a list item, None when it shares them."""
    start = text.rfind("\n", 0, item.span.start) + 1
    end = text.find("\n", max(item.span.end - 1, item.span.start))
    return Span(start, end + 1) if end >= 0 and re.fullmatch(r" *- +", text[start : item.span.start]) else None


def _is_only_exports(item: YamlScalar, found: Mapping[Span, list[Located]]) -> bool:
    references = found.get(item.span, [])
    if len(references) != 1 or item.anchor or references[0].kind is not ReferenceKind.ENVIRONMENT_EXPORT:
        return False
    layers = json.loads(references[0].detail["embedded"])
    covered = item.value[layers[0][4] : layers[0][5]]
    return references[0].disposition is Disposition.REWRITE and covered.strip() == item.value.strip()


def _scalars(tree: YamlTree) -> Iterator[YamlScalar]:
    """Yield every scalar that is a value, not a key."""
    for root in tree.documents:
        keys = {id(pair.key) for node in walk_yaml(root) if isinstance(node, YamlMapping) for pair in node.pairs}
        yield from (node for node in walk_yaml(root) if isinstance(node, YamlScalar) and id(node) not in keys)


def _is_command(scalar: YamlScalar) -> bool:
    """Say whether a scalar outside of any known script reads like one: a value that is one word is not."""
    return scalar.style in ("literal", "folded") or re.search(r"\S\s+\S", scalar.value) is not None


def _locate_script(text: str, scalar: YamlScalar, runs: list[ScriptRun], *, pipeline: Pipeline) -> Iterator[Located]:
    embedded = decode_scalar(text, scalar.span, style=scalar.style, prefix=" " * scalar.indent)
    states = {
        _UNKNOWN_STATE if run.missing else state_in_address(run.variables.get("TF_HTTP_ADDRESS"), run.variables)
        for run in runs
    }
    state = next(iter(states)) if len(states) == 1 else _UNKNOWN_STATE if states else None
    mask = mask_nothing
    if pipeline.dialect == "github":
        mask = mask_expressions
    elif pipeline.dialect == "other" and "{{" in scalar.value:
        mask = mask_just
    found = locate_shell(embedded.value, mask=mask, inherited_state=state, addresses=_addresses(runs))
    for one in found:
        settled = _doubt(one, runs) if state == _UNKNOWN_STATE and one.kind in _INHERITING else one
        yield embed(settled, text, embedded, language="yaml")
    for wrapper in _WRAPPER_COMMAND.finditer(embedded.value):
        reason = "GitLab's wrapper script sets TF_HTTP_* itself: call tofu with the key of the state instead"
        located = Located(
            kind=ReferenceKind.BARE_INIT,
            span=Span(*wrapper.span()),
            disposition=Disposition.REPORT,
            reason=reason,
            detail={"language": "shell"},
        )
        if not any(one.span.start < located.span.end and located.span.start < one.span.end for one in found):
            yield embed(located, text, embedded, language="yaml")


def _addresses(runs: list[ScriptRun]) -> Mapping[str, str]:
    """Return the variables with addresses of states on which every job that runs the script agrees."""
    if not runs:
        return {}
    first, *others = [run.variables for run in runs]
    return {
        name: value
        for name, value in first.items()
        if "/terraform/state/" in value and all(other.get(name) == value for other in others)
    }


def _doubt(located: Located, runs: list[ScriptRun]) -> Located:
    missing = sorted({name for run in runs for name in run.missing})
    if missing:
        reason = f"may get its backend from {missing[0]}, which is in no file here: give the key of the state"
    else:
        jobs = ", ".join(sorted({run.job for run in runs})[:4])
        reason = f"jobs that run this script disagree on the address of the state ({jobs}): give each its key"
    state = None if located.state is None or _UNKNOWN_STATE in located.state else located.state
    detail = {**located.detail, "jobs": "\n".join(sorted({run.job for run in runs}))}
    return replace(located, disposition=Disposition.REPORT, reason=reason, state=state, detail=detail)


def _hold_back(variables: Iterable[Located], scripts: list[Located], pipeline: Pipeline) -> Iterator[Located]:
    """Report variables of jobs whose script is in doubt: removed, they could not tell anybody which key is meant."""
    names = {name for one in scripts for name in one.detail.get("jobs", "").split("\n") if name}
    pending = list(names)
    while pending:
        job = pipeline.jobs.get(pending.pop())
        new = [name for name in job.extends if name not in names] if job else []
        names |= set(new)
        pending += new
    spans = [pipeline.jobs[name].span for name in names if name in pipeline.jobs]
    spans += [one.span for one in pipeline.variables.values()] if names else []
    for one in variables:
        if one.state and any(span.start <= one.span.start < span.end for span in spans) and "emptied" in one.detail:
            reason = "http backend variables on which a script depends that a person has to change first"
            yield replace(one, disposition=Disposition.REPORT, reason=reason)
        else:
            yield one


# --- comments


def _locate_claims(text: str, tree: YamlTree, inactive: list[Located]) -> Iterator[Located]:
    for group in _comment_groups(text, tree):
        start = group.start
        for job in sorted(one.span for one in inactive if group.start <= one.span.start < group.end):
            yield from _locate_claim(text, Span(start, job.start))
            start = job.end
        yield from _locate_claim(text, Span(start, group.end))


def _locate_claim(text: str, span: Span) -> Iterator[Located]:
    part = span.of(text)
    piece = Span(span.end - len(part.lstrip()), span.start + len(part.rstrip()))
    if piece.start < piece.end:
        yield from locate_comment(text, piece, language="yaml")


def _comment_groups(text: str, tree: YamlTree) -> list[Span]:
    """Return comments of adjacent lines as one; a comment behind a value stands alone."""
    groups: list[Span] = []
    whole_line_before = False
    for comment in tree.comments:
        line = text.rfind("\n", 0, comment.start) + 1
        whole_line = not text[line : comment.start].strip()
        between = text[groups[-1].end : comment.start] if groups else ""
        if groups and whole_line and whole_line_before and between.count("\n") == 1:
            groups[-1] = Span(groups[-1].start, comment.end)
        else:
            groups.append(comment)
        whole_line_before = whole_line
    return groups


def _locate_inactive_jobs(text: str, tree: YamlTree) -> Iterator[Located]:
    for group in _comment_groups(text, tree):
        for job in _commented_blocks(text, group):
            body = job.of(text)
            name = _job_name(body)
            if name is None or not _MATTERS.search(body):
                continue
            state = _INACTIVE_NAMES.search(body)
            reason = f"inactive: job {name} is commented out; before it returns, check how it reaches its state"
            yield Located(
                kind=ReferenceKind.BACKEND_COMMENT,
                span=job,
                disposition=Disposition.REPORT,
                reason=reason,
                state=state["state"] if state else None,
                detail={"language": "yaml", "inactive": name},
            )


def _commented_blocks(text: str, group: Span) -> Iterator[Span]:
    """Yield runs of comment lines that begin with ``key:`` and go on deeper, without what follows them."""
    start = end = -1
    position = group.start
    for line in group.of(text).split("\n"):
        content = line.strip().removeprefix("#").removeprefix(" ").rstrip()
        if re.match(r"[^\s#-][^#]*:\s*(?:#.*|[&*]\S+\s*)?$", content):
            if start >= 0:
                yield Span(start, end)
            start, end = position + line.index("#"), position + len(line.rstrip())
        elif start >= 0 and (content.startswith(" ")):
            end = position + len(line.rstrip())
        elif start >= 0 and content:
            yield Span(start, end)
            start = -1
        position += len(line) + 1
    if start >= 0:
        yield Span(start, end)


def _job_name(commented: str) -> str | None:
    """Return the name of the job that a commented block would be, None when it would not be one."""
    lines = [line.strip().removeprefix("#").removeprefix(" ") for line in commented.split("\n")]
    try:
        tree = read_yaml_tree("\n".join(lines) + "\n")
    except UnparsableError:
        return None
    root = tree.documents[0] if tree.documents else None
    pair = root.pairs[0] if isinstance(root, YamlMapping) and root.pairs else None
    if pair is None or not isinstance(pair.value, YamlMapping):
        return None
    return pair.name if {one.name for one in pair.value.pairs} & _JOB_KEYS else None


# --- GitLab's own components and templates


def _locate_components(tree: YamlTree) -> Iterator[Located]:
    for root in tree.documents:
        for node in walk_yaml(root):
            if isinstance(node, YamlMapping):
                yield from (one for pair in node.pairs for one in _locate_component(pair, node))


def _locate_component(pair: YamlPair, mapping: YamlMapping) -> Iterator[Located]:
    if not isinstance(pair.value, YamlScalar) or not _WRAPPER_COMPONENT.search(pair.value.value):
        return
    inputs = mapping.get("inputs")
    state = inputs.get("state_name") if isinstance(inputs, YamlMapping) else None
    yield Located(
        kind=ReferenceKind.CI_VARIABLE,
        span=pair.span,
        disposition=Disposition.REPORT,
        reason="GitLab's OpenTofu jobs set TF_HTTP_* themselves: replace them by jobs that give the key of the state",
        state=state.value if isinstance(state, YamlScalar) else None,
        detail={"language": "yaml"},
    )
