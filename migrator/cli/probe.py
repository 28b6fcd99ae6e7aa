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
    from migrator.cli.wiring import Secrets, build_target, check_variables
    from migrator.cli.wiring import probe as probe_bucket

    invocation: Invocation = context.obj
    settings = invocation.read_settings()
    target, environment = settings.target, invocation.environment
    if not target.profile:
        check_variables([target.access_key_env, target.secret_key_env], environment)
    secrets = Secrets(
        token="",
        access_key=environment.get(target.access_key_env, ""),
        secret_key=environment.get(target.secret_key_env, ""),
        session_token=environment.get(target.session_token_env) if target.session_token_env else None,
    )
    found = probe_bucket(build_target(target, secrets), constant_prefix(target.key))
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
