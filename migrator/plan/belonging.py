"""PURE: is a run that was found in the bucket one of this repository, and does it do what ``migrator.toml`` says?

A plan decides where credentials go and which states and keys are touched, and whoever may write to the bucket may put one
there. Two answers: the run is another repository's, as many may share a bucket; or it says that it is ours and does not
fit, which a person has to look at.
"""

from collections import Counter
from collections.abc import Iterator

from migrator.plan.facts import format_key
from migrator.plan.model import Plan, PlannedState, Project
from migrator.settings import Settings


def is_of_others(plan: Plan, settings: Settings, identity: str | None) -> bool:
    """Return whether a plan is another repository's, or leads between other places than the settings name.

    ``identity`` is this repository's first commit, None where nobody knows it; nor may the plan know its own.
    """
    source, target = settings.source, settings.target
    named = str(source.project).casefold()
    return not (
        (None in (identity, plan.repository.identity) or identity == plan.repository.identity)
        and _address(plan.source.url) == _address(source.url)
        and named in (str(plan.source.project_id), plan.source.project_path.casefold())
        and _address(plan.target.endpoint) == _address(target.endpoint)
        and plan.target.bucket == target.bucket
    )


def find_misfit(plan: Plan, settings: Settings) -> str | None:
    """Return the first thing in which a plan differs from what these settings would give, None when nothing does."""
    return next(_find_misfits(plan, settings), None)


def _find_misfits(plan: Plan, settings: Settings) -> Iterator[str]:
    for table, names in (
        ("source", ("token_env", "username", "ca_bundle")),
        (
            "target",
            (
                "region", "key", "path_style", "access_key_env", "secret_key_env", "session_token_env", "ca_bundle",
                "profile", "run_prefix",
            ),
        ),
    ):  # fmt: skip
        for name in names:
            theirs, ours = getattr(getattr(plan, table), name), getattr(getattr(settings, table), name)
            if theirs != ours:
                yield f"it was made with {table}.{name} = {theirs!r}, and migrator.toml says {ours!r}"
    project = Project(id=plan.source.project_id, path=plan.source.project_path)
    bound = {binding.name: binding for binding in settings.state}
    for state in plan.states:
        key = format_key(
            settings.target.key, project, stack=state.stack, environment=state.environment, state=state.name
        )
        if state.key != key:
            yield f"it has the key {state.key!r} for {state.name}, and target.key gives {key!r}"
        binding = bound.get(state.name)
        if binding and (binding.stack, binding.environment) != (state.stack, state.environment):
            yield f"it has {state.name} in {_place(state)}, and migrator.toml binds it to {binding.stack}, {binding.environment}"
        if any(exclusion.matches(state.name) for exclusion in settings.exclude):
            yield f"it moves {state.name}, which migrator.toml excludes"
    for what, named in (
        ("state", [state.name for state in plan.states]),
        ("key", [state.key for state in plan.states]),
        ("file", [file.path for file in plan.files]),
    ):
        yield from (f"it names the {what} {one!r} twice" for one, times in Counter(named).items() if times > 1)
    if plan.blockers:
        yield f"it has a blocker ({plan.blockers[0].code}), and such a plan is never carried out"


def _place(state: PlannedState) -> str:
    return f"{state.stack}, {state.environment}"


def _address(url: str) -> str:
    return url.rstrip("/")
