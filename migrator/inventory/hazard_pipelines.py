"""Hazards of pipelines: what runs by itself, what it takes from other jobs, what stays armed."""

import re
from collections.abc import Iterator

from migrator.inventory.entry_gitlab import STATE_VARIABLES, build_variable_lookup
from migrator.inventory.entry_points import build_claims
from migrator.inventory.hazard_evidence import Evidence
from migrator.inventory.model import Place
from migrator.inventory.pipelines import GitLabPipelines
from migrator.inventory.shell_regions import Source
from migrator.rewrite.spans import Span
from migrator.rewrite.yaml_jobs import CiJob
from migrator.rewrite.yaml_tree import YamlMapping, YamlNode, YamlPair, YamlScalar, YamlSequence, walk_yaml

_CLIENT = (
    r"(?:^|[\s;&|(\"'/])(?:tofu|terraform|gitlab-tofu|gitlab-terraform|terragrunt|\"?\$\{?\w+\}?\"?)(?:\s+-\S+)*\s+"
)
_CHANGES = re.compile(_CLIENT + r"(?:apply|destroy)\b", re.MULTILINE)
_RUNS = re.compile(_CLIENT + r"(?:init|plan|apply|destroy|state|import|refresh)\b", re.MULTILINE)
_SECRET_FLAG = re.compile(r"-backend-config[= ]+[\"']?(?:password|access_key|secret_key|token)=")
_STALE = (
    "no file sets the variables from which this init takes its backend: left in GitLab's settings, they keep pointing "
    "at the source"
)
_BY_ITSELF = (
    (re.compile(r"merge_request_event|CI_MERGE_REQUEST"), "when a merge request is opened"),
    (re.compile(r"CI_COMMIT_TAG"), "on a tag"),
    (re.compile(r"CI_COMMIT_BRANCH|CI_DEFAULT_BRANCH|\"push\""), "on a push to the branch"),
)


def find_automatic_applies(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield the rules of jobs that apply or destroy without anybody pressing a button."""
    pipelines = evidence.survey.pipelines
    for path, job in pipelines.jobs():
        if not _CHANGES.search(_text(pipelines.script(job))):
            continue
        owner, rules = pipelines.key(job, "rules")
        manual = pipelines.key(job, "when")[1]
        if rules is None and (manual is None or _scalar(manual.value) not in {"manual", "never"}):
            owner, rules = pipelines.key(job, "only")
        when = "in every pipeline" if rules is None else _when(rules)
        if when and (rules is not None or manual is None):
            place = pipelines.place(owner, rules.span) if rules is not None else pipelines.place(path, _head(job))
            yield (
                place,
                f"{job.name} runs by itself {when}: move the data before these files get there, or hold the job",
            )


def find_crossed_states(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield jobs that take ``.terraform`` or a plan from a job whose state is another one."""
    pipelines = evidence.survey.pipelines
    jobs = {job.name: job for _, job in pipelines.jobs()}
    for path, job in pipelines.jobs():
        state = _read_state(pipelines, job)
        if state is None or not _RUNS.search(_text(pipelines.script(job))):
            continue
        for needed in _read_needs(pipelines, job):
            other = jobs.get(needed)
            if other is None or not any(_carries_settings(text) for text, _ in _read_artifacts(pipelines, other)):
                continue
            found = _read_state(pipelines, other)
            if found is not None and found != state:
                yield (
                    pipelines.place(path, _head(job)),
                    f"{job.name} works on {state} but takes the artifacts of {needed}, which worked on {found}",
                )


def find_saved_credentials(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield artifacts that hold ``.terraform``, or a plan made after an init with credentials in flags."""
    pipelines = evidence.survey.pipelines
    for _, job in pipelines.jobs():
        text = _text(pipelines.script(job))
        flags = _SECRET_FLAG.search(text) is not None
        if not _RUNS.search(text):
            continue
        for artifact, place in _read_artifacts(pipelines, job):
            if re.search(r"(?:^|/)\.terraform(?:/|$)", artifact):
                yield (
                    place,
                    "publishes .terraform, where init saves the settings of the backend, credentials in flags included",
                )
            elif flags and re.search(r"plan|\.tfplan$", artifact):
                yield (
                    place,
                    "publishes a plan: it carries the backend settings of its init, here with a password in a flag",
                )


def find_old_pipelines(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield deployments whose stop jobs can run long after the cut-over, from a pipeline that names the source."""
    pipelines = evidence.survey.pipelines
    for path, job in pipelines.jobs():
        owner, pair = pipelines.key(job, "environment")
        if pair is None or not isinstance(pair.value, YamlMapping) or owner != path:
            continue
        armed = [name for name in ("on_stop", "auto_stop_in") if pair.value.pair(name)]
        if armed and _RUNS.search(_text(pipelines.script(job))):
            yield (
                pipelines.place(owner, pair.span),
                f"{job.name}: {' and '.join(armed)} start jobs of earlier pipelines, which still use the source",
            )


def find_stale_variables(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield entry points of pipelines that initialize a stack with settings that no file gives."""
    stacks = evidence.gitlab_stacks
    names = {stack.name for stack in stacks}
    for entry in evidence.survey.entry_points:
        if not entry.areas or not entry.areas[0].path.endswith((".yml", ".yaml")):
            continue
        known = entry.region.addresses or any(True for _ in build_claims(entry, stacks))
        if known or entry.region.takes_backend_file or entry.outside("shell", "TF_HTTP_ADDRESS"):
            continue
        if any(evidence.survey.stacks_at(area) & names for area in entry.areas) and entry.region.init_place:
            yield entry.region.init_place, _STALE


def _when(rules: YamlPair) -> str | None:
    """Return when the job runs by itself, None when every rule needs a hand."""
    items = rules.value.items if isinstance(rules.value, YamlSequence) else ()
    for item in items:
        if isinstance(item, YamlMapping):
            if _scalar(item.get("when")) in {"manual", "never"}:
                continue
            condition = _scalar(item.get("if")) or ""
            if "schedule" not in condition:
                return next((words for pattern, words in _BY_ITSELF if pattern.search(condition)), "in some pipelines")
    return "in some pipelines" if not items else None


def _read_state(pipelines: GitLabPipelines, job: CiJob) -> str | None:
    variables = pipelines.variables(job)
    lookup = build_variable_lookup(variables)
    name = next((name for name in STATE_VARIABLES if name in variables), None)
    values = lookup("shell", name) if name else ()
    return values[0].text if len(values) == 1 else None


def _read_needs(pipelines: GitLabPipelines, job: CiJob) -> Iterator[str]:
    for key in ("needs", "dependencies"):
        _, pair = pipelines.key(job, key)
        for item in pair.value.items if pair is not None and isinstance(pair.value, YamlSequence) else ():
            if isinstance(item, YamlScalar):
                yield item.value
            elif isinstance(item, YamlMapping) and _scalar(item.get("artifacts")) != "false":
                yield _scalar(item.get("job")) or ""


def _read_artifacts(pipelines: GitLabPipelines, job: CiJob) -> Iterator[tuple[str, Place]]:
    path, pair = pipelines.key(job, "artifacts")
    paths = pair.value.get("paths") if pair is not None and isinstance(pair.value, YamlMapping) else None
    for node in walk_yaml(paths):
        if isinstance(node, YamlScalar):
            yield node.value, pipelines.place(path, node.span)


def _carries_settings(artifact: str) -> bool:
    return re.search(r"(?:^|/)\.terraform(?:/|$)|(?:^|/)[\w.-]*tfplan$|\.tfplan$", artifact) is not None


def _head(job: CiJob) -> Span:
    return Span(job.span.start, job.span.start + 1)


def _text(source: Source) -> str:
    return "\n".join(line for line in source.lines if not line.lstrip().startswith("#"))


def _scalar(node: YamlNode | None) -> str | None:
    return node.value if isinstance(node, YamlScalar) else None
