"""The only place that names a concrete backend, clock, ID generator or environment variable's value."""

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from migrator import __version__
from migrator.backends.gitlab_http import GitLabSource
from migrator.backends.lock_info import LockInfo
from migrator.backends.s3 import S3Target
from migrator.backends.s3_probe import TargetProbe, probe_target
from migrator.backends.s3_run_store import S3RunStore
from migrator.cli.invocation import Invocation, read_clock
from migrator.engine.mirror import Mirror
from migrator.engine.parallel import WORKERS
from migrator.engine.ports import Ports
from migrator.engine.proof import TofuProver
from migrator.engine.work_tree import LocalWorkTree
from migrator.errors import ConfigurationError
from migrator.inventory.tree import RepositoryTree
from migrator.journal.run_directory import RunDirectory
from migrator.plan.model import Plan, PlannedSource, PlannedState, PlannedTarget
from migrator.settings import SourceSettings, TargetSettings

_READ_BY_PROVIDERS = {"GITLAB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
_OUR_OPTIONS = "MIGRATOR_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Credentials, as read from the environment. Never printed: ``repr`` shows names only."""

    token: str
    access_key: str
    secret_key: str
    session_token: str | None = None

    @property
    def all(self) -> tuple[str | None, ...]:
        """Everything that must never be shown."""
        return self.token, self.access_key, self.secret_key, self.session_token

    def __repr__(self) -> str:
        return "Secrets(...)"


def read_secrets(
    source: SourceSettings | PlannedSource | None,
    target: TargetSettings | PlannedTarget,
    environment: Mapping[str, str],
) -> Secrets:
    """Return the credentials that the configuration names; without a ``source`` those of the target alone.

    Raises: ConfigurationError that names every variable that is missing, or one that is no key.
    """
    session = target.session_token_env if environment.get(target.session_token_env or "") else None
    # With a profile the keys of the environment are somebody else's.
    keys = None if target.profile else (target.access_key_env, target.secret_key_env)
    tokens = (source.token_env,) if source else ()
    check_variables([*tokens, *(keys or ()), *([session] if keys and session else [])], environment)
    return Secrets(
        token=environment[source.token_env] if source else "",
        access_key=environment[keys[0]] if keys else "",
        secret_key=environment[keys[1]] if keys else "",
        session_token=environment[session] if keys and session else None,
    )


def check_variables(names: list[str], environment: Mapping[str, str]) -> None:
    """Check that every variable is set, to something that a key or a token can be.

    Raises: ConfigurationError.
    """
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            where="environment; the names stand in migrator.toml",
            now="nothing was touched",
            hint=f"export {missing[0]}=..., then run the command again",
        )
    for name in names:
        # A line break in a key breaks every request, and looks as if the connection did.
        if not environment[name].isprintable() or not environment[name].isascii() or " " in environment[name]:
            raise ConfigurationError(
                f"{name} holds a character that no key and no token has",
                where="environment",
                now="nothing was touched",
                hint=f"check {name} for a line break, a space or quotes",
            )


def build_source(source: SourceSettings | PlannedSource, token: str) -> GitLabSource:
    """Return the client of the source."""
    return GitLabSource(
        url=source.url,
        project=source.project if isinstance(source, SourceSettings) else source.project_id,
        token=token,
        username=source.username,
        ca_bundle=source.ca_bundle,
        workers=WORKERS,
    )


def build_target(target: TargetSettings | PlannedTarget, secrets: Secrets) -> S3Target:
    """Return the client of the target."""
    return S3Target(
        endpoint=target.endpoint,
        bucket=target.bucket,
        region=target.region,
        path_style=target.path_style,
        access_key=secrets.access_key or None,
        secret_key=secrets.secret_key or None,
        session_token=secrets.session_token,
        ca_bundle=target.ca_bundle,
        profile=target.profile,
        workers=WORKERS,
    )


def probe(target: S3Target, prefix: str) -> TargetProbe:
    """Probe the bucket on scratch keys below the constant part of the key template."""
    return probe_target(target, prefix=prefix, new_id=new_id, clock=lambda: datetime.now(UTC))


def build_ports(plan: Plan, run: RunDirectory, tree: RepositoryTree, secrets: Secrets, invocation: Invocation) -> Ports:
    """Return the world of a run."""
    return Ports(
        source=build_source(plan.source, secrets.token),
        target=build_target(plan.target, secrets),
        blobs=run.blobs,
        work_tree=LocalWorkTree(tree.root),
        prover=build_prover(plan, run, tree, secrets, invocation.environment),
        new_id=new_id,
        clock=read_clock,
        who=who_am_i(),
        version=__version__,
    )


def build_run_store(target: TargetSettings | PlannedTarget, secrets: Secrets) -> S3RunStore:
    """Return where runs are mirrored."""
    return S3RunStore(build_target(target, secrets).bucket, target.run_prefix)


def build_mirror(plan: Plan, run: RunDirectory, secrets: Secrets) -> Mirror | None:
    """Return the mirror of a run, None where the plan wants none."""
    if not plan.target.run_prefix:
        return None
    info = LockInfo(
        id=run.read_holder(new_id),
        operation=f"migrator: run {run.run_id}",
        who=who_am_i(),
        version=__version__,
        created=read_clock(),
    )
    return Mirror(build_run_store(plan.target, secrets), run, info)


def build_prover(
    plan: Plan, run: RunDirectory, tree: RepositoryTree, secrets: Secrets, environment: Mapping[str, str]
) -> TofuProver:
    """Return the prover; the run's scratch directory holds its copies."""
    s3 = {"AWS_ACCESS_KEY_ID": secrets.access_key, "AWS_SECRET_ACCESS_KEY": secrets.secret_key}
    if secrets.session_token:
        s3["AWS_SESSION_TOKEN"] = secrets.session_token
    if plan.target.profile:
        s3 = {"AWS_PROFILE": plan.target.profile}
    if plan.target.ca_bundle:
        s3["AWS_CA_BUNDLE"] = plan.target.ca_bundle
    http = {"TF_HTTP_USERNAME": plan.source.username or "migrator", "TF_HTTP_PASSWORD": secrets.token}
    if plan.source.ca_bundle and Path(plan.source.ca_bundle).is_file():
        http["TF_HTTP_CLIENT_CA_CERTIFICATE_PEM"] = Path(plan.source.ca_bundle).read_text("ascii", "replace")
    return TofuProver(
        program=plan.tofu,
        plan=plan,
        root=tree.root,
        paths=tree.paths,
        scratch=run.path / "scratch",
        environment=build_proof_environment(environment, plan),
        source_environment=http,
        target_environment=s3,
        secrets=(*secrets.all, f"{http['TF_HTTP_USERNAME']}:{secrets.token}"),
        read_document=lambda state: read_captured(run, state),
    )


def build_proof_environment(environment: Mapping[str, str], plan: Plan) -> dict[str, str]:
    """Return the operator's environment without what only this program is for.

    Names that OpenTofu's providers read themselves stay: a stack may need GITLAB_TOKEN as well as we do.
    """
    target = plan.target
    ours = {plan.source.token_env, target.access_key_env, target.secret_key_env, target.session_token_env}
    dropped = ours - _READ_BY_PROVIDERS
    return {
        name: value for name, value in environment.items() if name not in dropped and not name.startswith(_OUR_OPTIONS)
    }


def read_captured(run: RunDirectory, state: PlannedState) -> bytes | None:
    """Return the document that the run captured of a state, None where it has none that is whole."""
    if state.sha256 is None or not run.blobs.has(state.sha256):
        return None
    return run.blobs.read(state.sha256)


def new_id() -> str:
    """Return a fresh UUID, as OpenTofu uses for locks."""
    return str(uuid.uuid4())


def who_am_i() -> str:
    """Return user@host, as OpenTofu writes it into a lock."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
