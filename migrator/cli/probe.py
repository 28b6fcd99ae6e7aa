"""``migrator probe``: ask the bucket itself whether it may hold state."""

import msgspec
import typer

from migrator.cli.invocation import Invocation
from migrator.cli.plan import constant_prefix
from migrator.errors import UnsafeTargetError
from migrator.report.tables import build_table


def probe(context: typer.Context) -> None:
    """Try on scratch keys whether the target's conditional writes, and so its locks, can be trusted.

    Example: migrator probe --json
    """
    from migrator.cli.wiring import build_target, read_secrets
    from migrator.cli.wiring import probe as probe_bucket

    invocation: Invocation = context.obj
    settings = invocation.read_settings()
    secrets = read_secrets(None, settings.target, invocation.environment)
    found = probe_bucket(build_target(settings.target, secrets), constant_prefix(settings.target.key))
    rows = [
        ("bucket", f"s3://{found.bucket} at {found.endpoint}"),
        ("verdict", f"{found.verdict.value}: a lock here protects what it locks" if not found.reasons else "unsafe"),
        ("conditional delete", found.conditional_delete.value),
        ("versioning", found.versioning),
        ("winners of raced creates", ", ".join(map(str, found.race_winners))),
        *(("because", reason) for reason in found.reasons),
    ]
    invocation.output.show(build_table(("", ""), rows))
    invocation.output.document({"format": "migrator.probe/1", **msgspec.to_builtins(found)})
    if found.reasons:
        raise UnsafeTargetError(
            "the target does not keep the promises that a lock needs",
            where=f"s3://{found.bucket} at {found.endpoint}: {found.reasons[0]}",
            now="scratch keys were removed again",
            hint="use another bucket, store or version of it, then: migrator probe",
        )
