"""``migrator demo``: ``rehearse`` on the sample estate that the package carries, told as a story."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.invocation import Invocation
from migrator.cli.rehearse import build_connect, find_any_tofu
from migrator.rehearsal.embedded import stop_on_termination
from migrator.rehearsal.estate import assemble_sample_estate, sample_root
from migrator.rehearsal.model import build_document
from migrator.rehearsal.narrate import Chapters, build_summary
from migrator.rehearsal.story import Request
from migrator.rehearsal.story import rehearse as play

_OPENING = (
    "A sample estate of four stacks keeps its state in GitLab. Here it moves to an S3 store, and back.",
    "Every command is the real one, on embedded servers and a copy in a temporary directory.",
)
_PROJECT_PATH = "acme/infra"


def demo(
    context: typer.Context,
    keep: Annotated[
        Path | None, typer.Option(envvar="MIGRATOR_KEEP", help="Leave everything in this directory.")
    ] = None,
    pause: Annotated[
        bool, typer.Option("--pause", envvar="MIGRATOR_PAUSE", help="Wait for Enter between chapters.")
    ] = False,
) -> None:
    """See a whole migration and its rollback on a sample estate, in under a minute. Needs no credentials, no server.

    Example: migrator demo --pause
    """
    invocation: Invocation = context.obj
    output = invocation.output
    sample = sample_root()
    for line in _OPENING:
        output.say(line)
    with stop_on_termination(), tempfile.TemporaryDirectory(prefix="migrator-demo-") as directory:
        estate = Path(directory) / "infra"
        assemble_sample_estate(estate)
        request = Request(
            root=estate,
            config=sample / "fixtures" / "estate.toml",
            fixtures=sample / "fixtures" / "states",
            keep=keep,
            tofu=find_any_tofu(invocation.environment),
            project_path=_PROJECT_PATH,
        )
        rehearsal = play(request, build_connect(), Chapters(output, pause=pause))
    output.show(*build_summary(rehearsal))
    output.document(build_document(rehearsal))
    raise typer.Exit(rehearsal.exit_code)
