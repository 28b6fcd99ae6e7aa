"""``migrator rehearse``: the whole story on a copy of this repository, with embedded servers. Touches nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from migrator.backends.base import StateSource, StateTarget
from migrator.cli.invocation import Invocation
from migrator.cli.tofu_program import find_tofu
from migrator.cli.wiring import build_source, build_target, check_variables, read_secrets
from migrator.errors import UsageError
from migrator.plan.model import Project
from migrator.rehearsal.embedded import stop_on_termination
from migrator.rehearsal.junit import write_junit
from migrator.rehearsal.model import build_document
from migrator.rehearsal.narrate import Checklist, build_summary
from migrator.rehearsal.story import Connect, RealSource, Request
from migrator.rehearsal.story import rehearse as play
from migrator.settings import Settings


def rehearse(
    context: typer.Context,
    from_source: Annotated[
        bool,
        typer.Option("--from-source", envvar="MIGRATOR_FROM_SOURCE", help="Read the states of the real source."),
    ] = False,
    fixtures: Annotated[
        Path | None,
        typer.Option(envvar="MIGRATOR_FIXTURES", help="Recorded states: DIR/<state name>/<serial>.tfstate."),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(envvar="MIGRATOR_KEEP", help="Leave everything in this directory.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(envvar="MIGRATOR_JUNIT", help="Write JUnit XML to this file.")] = None,
) -> None:
    """Play the whole migration on a copy of this repository. Without options, stacks that need no provider are applied.

    Needs no credentials unless --from-source is given. Exits 3 when any step or comparison fails.

    Example: migrator rehearse --fixtures fixtures/states --junit rehearsal.xml
    """
    invocation: Invocation = context.obj
    if from_source and fixtures is not None:
        raise UsageError("--from-source and --fixtures exclude each other", hint="migrator rehearse --help")
    output = invocation.output
    request = Request(
        root=invocation.root,
        config=invocation.config_path,
        fixtures=fixtures,
        real_source=connect_real_source(invocation) if from_source else None,
        keep=keep,
        tofu=find_any_tofu(invocation.environment),
    )
    output.say(f"rehearsing the migration of {escape(str(request.root))} on a copy\n")
    with stop_on_termination():
        rehearsal = play(request, build_connect(), Checklist(output))
    output.show(*build_summary(rehearsal))
    output.document(build_document(rehearsal))
    if junit is not None:
        write_junit(junit, rehearsal)
    raise typer.Exit(rehearsal.exit_code)


def build_connect() -> Connect:
    """Return how to reach the embedded servers."""

    def source(settings: Settings, environment: Mapping[str, str]) -> StateSource:
        return build_source(settings.source, read_secrets(settings.source, settings.target, environment).token)

    def target(settings: Settings, environment: Mapping[str, str]) -> StateTarget:
        return build_target(settings.target, read_secrets(settings.source, settings.target, environment))

    return Connect(source=source, target=target)


def connect_real_source(invocation: Invocation) -> RealSource:
    """Return the real source that the configuration names.

    Raises: ConfigurationError, BackendError.
    """
    settings = invocation.read_settings()
    check_variables([settings.source.token_env], invocation.environment)
    source = build_source(settings.source, invocation.environment[settings.source.token_env])
    project = source.resolve_project()
    return RealSource(states=source, project=Project(id=project.id, path=project.path))


def find_any_tofu(environment: Mapping[str, str]) -> str | None:
    """Return $TOFU, else tofu, else terraform on PATH; None when there is none."""
    return find_tofu("tofu", environment) or (None if environment.get("TOFU") else find_tofu("terraform", environment))
