"""The way back from another machine: where no run directory is, the run comes from the target's bucket.

A plan in the bucket decides where credentials are sent to, and whoever may write to the bucket may put one there. So only
a run of this repository, with the source and the target that this repository's ``migrator.toml`` names, is taken.
"""

from migrator.cli.invocation import Invocation
from migrator.errors import UsageError
from migrator.inventory.tree import is_shallow, read_repository_identity
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import decode_plan
from migrator.plan.model import Plan
from migrator.settings import Settings


def find_or_fetch_run(invocation: Invocation, name: str | None) -> RunDirectory:
    """Return the run here; where there is none, fetch it from the bucket into a new run directory.

    Raises: UsageError when no run is found in either place, ConfigurationError, BackendError, JournalError.
    """
    try:
        return invocation.home.find_run(name)
    except UsageError as missing:
        if not invocation.config_path.is_file():
            raise
        fetched = _fetch(invocation, invocation.read_settings(), name)
        if fetched is None:
            raise missing from None
        return fetched


def _fetch(invocation: Invocation, settings: Settings, name: str | None) -> RunDirectory | None:
    from migrator.cli.wiring import build_run_store, read_secrets
    from migrator.engine.mirror import fetch_run, list_runs, read_mirrored_plan

    if not settings.target.run_prefix:
        return None
    store = build_run_store(settings.target, read_secrets(settings.source, settings.target, invocation.environment))
    identity = None if is_shallow(invocation.root) else read_repository_identity(invocation.root)
    for run_id in reversed(list_runs(store)):
        if name is not None and not run_id.startswith(name):
            continue
        plan = decode_plan(read_mirrored_plan(store, run_id), where=store.where(f"runs/{run_id}/plan.json"))
        if identity in (plan.repository.identity, None) and _is_of(settings, plan):
            invocation.output.say(f"there is no run here; fetching {run_id} from {store.where(f'runs/{run_id}')}")
            with invocation.home.locked():
                return fetch_run(store, run_id, invocation.home)
    return None


def _is_of(settings: Settings, plan: Plan) -> bool:
    source, target = settings.source, settings.target
    return (
        plan.source.url.rstrip("/") == source.url.rstrip("/")
        and source.project in (plan.source.project_id, plan.source.project_path)
        and plan.source.token_env == source.token_env
        and plan.source.username == source.username
        and plan.target.endpoint.rstrip("/") == target.endpoint.rstrip("/")
        and plan.target.bucket == target.bucket
        and (plan.target.access_key_env, plan.target.secret_key_env) == (target.access_key_env, target.secret_key_env)
    )
