"""``migrator plan``: read both sides and the repository, decide, write the plan down. No effect but scratch keys."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from migrator import __version__
from migrator.cli.invocation import Invocation, read_clock
from migrator.cli.naming import AnyRun, find_all_elsewhere
from migrator.engine.observe import observe_source, observe_target
from migrator.engine.phases import Phase
from migrator.errors import ConfigurationError, RefusedError
from migrator.inventory.discover import discover_inventory
from migrator.inventory.tree import RepositoryTree, read_repository_identity
from migrator.journal.durable import write_durably
from migrator.plan.bind import bind_states
from migrator.plan.blockers import find_key_problem
from migrator.plan.build import build_plan
from migrator.plan.codec import decode_plan, digest_of_plan, encode_plan
from migrator.plan.facts import Facts, build_key
from migrator.plan.model import Plan, PlannedRepository, ProbeResult, Project
from migrator.report.plan import build_diffs, build_plan_report
from migrator.settings import Settings

if TYPE_CHECKING:
    from migrator.backends.s3_probe import TargetProbe


def plan(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", envvar="MIGRATOR_OUT", help="Where to write the plan.")
    ] = None,
    stack: Annotated[
        list[str] | None, typer.Option("--stack", envvar="MIGRATOR_STACK", help="Only this stack (repeatable).")
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", envvar="MIGRATOR_DIFF", help="Show how files change.")] = False,
) -> None:
    """Decide what will be done, and write it down for review. Exits 4 when something stands in the way.

    Example: migrator plan --diff
    """
    invocation: Invocation = context.obj
    output = invocation.output
    settings = invocation.read_settings()
    tree = invocation.discover_tree()
    made = _make_plan(invocation, settings, tree, tuple(stack or ()))
    digest = digest_of_plan(made)
    path = out or invocation.home.default_plan
    if out is None:
        invocation.home.prepare()
    _write_plan(path, made)
    output.show(*build_plan_report(made, digest))
    if diff:
        output.show(*build_diffs(made, tree.read_text))
    output.document({"format": "migrator.plan/1", "digest": digest, **msgspec.to_builtins(made)})
    if made.blockers:
        first = made.blockers[0]
        raise RefusedError(
            f"{len(made.blockers)} blockers stand; this plan cannot be carried out"
            if len(made.blockers) > 1
            else "one blocker stands; this plan cannot be carried out",
            where=f"{first.code}: {first.where}",
            now="nothing was touched; the plan was written for reading",
            hint=first.hint or "settle the blockers, then: migrator plan",
        )
    shown = path.relative_to(invocation.root) if path.is_relative_to(invocation.root) else path
    if made.states or made.files:
        output.say(
            f"\nwritten to {escape(str(shown))}\nnext: migrator migrate"
            + ("" if out is None else f" {escape(str(out))}")
        )
    else:
        output.say("\nnothing to migrate: no state moves and no file changes")


def _write_plan(path: Path, made: Plan) -> None:
    try:
        write_durably(path, encode_plan(made))
    except OSError as error:
        raise ConfigurationError(
            f"the plan cannot be written: {error.strerror}", where=str(path), hint="migrator plan -o FILE"
        ) from None


def _make_plan(invocation: Invocation, settings: Settings, tree: RepositoryTree, selected: tuple[str, ...]) -> Plan:
    from migrator.cli.tofu_program import find_proving_program
    from migrator.cli.wiring import build_source, build_target, probe, read_secrets

    secrets = read_secrets(settings.source, settings.target, invocation.environment)
    tofu = "" if settings.proof.plan == "off" else find_proving_program(settings, invocation.environment, tree.root)
    found = discover_inventory(tree)
    source = build_source(settings.source, secrets.token)
    resolved = source.resolve_project()
    project = Project(id=resolved.id, path=resolved.path)
    observed = observe_source(source)
    runs: list[AnyRun] = [*invocation.home.runs()]
    if any(state.locked_by for state in observed):
        # By a run of another machine, perhaps: its seal is no operation that ends.
        runs = [*find_all_elsewhere(invocation), *runs]
    bound = bind_states(
        settings,
        found,
        observed,
        selected=selected,
        paths=frozenset(tree.paths),
        moved=find_moved(runs, project),
    )
    target = build_target(settings.target, secrets)
    probed = probe(target, constant_prefix(settings.target.key, project))
    keys = {build_key(settings, project, state) for state in bound.states}
    # A store may answer anything for a key that is a blocker already.
    keys = {key for key in keys if find_key_problem(key) is None}
    return build_plan(
        Facts(
            settings=settings,
            inventory=found,
            project=project,
            bound=bound,
            keys={key.key: key for key in observe_target(target, sorted(keys))},
            probe=describe_probe(probed),
            texts=tree.read_text_or_nothing,
            repository=PlannedRepository(identity=read_repository_identity(tree.root), revision=tree.revision),
            tofu=tofu,
            created=read_clock(),
            tool_version=__version__,
            selected=selected,
        )
    )


def find_moved(runs: Iterable[AnyRun], project: Project) -> dict[str, str]:
    """Return the states that earlier runs of this repository moved for good so far, with the run's id."""
    moved: dict[str, str] = {}
    for run in runs:
        if run.read_view().outcome in (Phase.MIGRATED, Phase.FINALIZED):
            plan = decode_plan(run.read_plan_bytes(), where=f"{run.where}/plan.json")
            if plan.source.project_id == project.id:
                moved |= {state.name: run.run_id for state in plan.states}
    return moved


def describe_probe(probed: "TargetProbe") -> ProbeResult:
    """Return what the plan keeps of a probe."""
    return ProbeResult(verdict=probed.verdict.value, reasons=probed.reasons, probed_at=probed.probed_at)


def constant_prefix(template: str, project: Project | None = None) -> str:
    """Return the part of the key template before the first field that differs between states."""
    if project is not None:
        template = template.replace("{project_path}", project.path).replace("{project_id}", str(project.id))
    return template.split("{", 1)[0].rpartition("/")[0]
