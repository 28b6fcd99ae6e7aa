"""What makes a migration dangerous even if every line is rewritten: a catalogue with stable codes.

Each detector finds its hazard from files alone and says where. It never guesses what cannot be seen in a file: values in
GitLab's settings, running pipelines. ``docs/hazards.md`` explains each code and what to do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from migrator.inventory.hazard_commands import (
    find_circular_storage,
    find_empty_state_branches,
    find_followed_upstream,
    find_later_readers,
    find_lost_project_scope,
    find_reconfigured_inits,
)
from migrator.inventory.hazard_evidence import Evidence
from migrator.inventory.hazard_pipelines import (
    find_automatic_applies,
    find_crossed_states,
    find_old_pipelines,
    find_saved_credentials,
    find_stale_variables,
)
from migrator.inventory.hazard_versions import find_old_clients
from migrator.inventory.model import Hazard, Place, StateName

Detector = Callable[[Evidence], Iterator[tuple[Place, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardKind:
    """``code`` is stable; ``title`` is one line for people; ``detect`` yields the places and what is wrong there.

    ``loses_data``: a run of these lines at the wrong moment destroys or overwrites what nobody can bring back, so a plan
    waits until somebody says that he has seen it.
    """

    code: str
    title: str
    detect: Detector
    loses_data: bool = False


def find_double_names(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield each further name that the files give one (stack, environment), or one name that two stacks use."""
    stacks_of: dict[str, set[str]] = defaultdict(set)
    for stack in evidence.stacks:
        names: dict[str | None, list[str]] = defaultdict(list)
        for state in stack.states:
            stacks_of[state.name].add(stack.name)
            if state.environment is not None:
                names[state.environment].append(state.name)
        for state in stack.states:
            others = [name for name in names.get(state.environment, []) if name != state.name]
            if others:
                where = f"stack {stack.name}, environment {state.environment}"
                yield (
                    _naming_place(evidence, state),
                    f"{where}: the state is called {state.name} here and {', '.join(others)} elsewhere",
                )
    for stack in evidence.stacks:
        for state in stack.states:
            if len(stacks_of[state.name]) > 1 and stack.name != min(stacks_of[state.name]):
                shared = ", ".join(sorted(stacks_of[state.name]))
                yield _naming_place(evidence, state), f"the stacks {shared} use one state name, {state.name}"


def _naming_place(evidence: Evidence, state: StateName) -> Place:
    """Return the evidence that spells the name out, else the last in its file, since settings stand above."""
    places = [place for place in state.evidence if place.path == state.evidence[0].path]
    lines = (evidence.tree.read_text_or_nothing(places[0].path) or "").split("\n")
    return next((place for place in places if state.name in lines[place.start_line - 1]), places[-1])


CATALOGUE: tuple[HazardKind, ...] = (
    HazardKind(
        code="crossed-states",
        title="A job takes the .terraform directory or the plan of a job with another state",
        detect=find_crossed_states,
        loses_data=True,
    ),
    HazardKind(
        code="credentials-saved-in-plan-artifact",
        title="Backend settings, credentials among them, are published as an artifact",
        detect=find_saved_credentials,
    ),
    HazardKind(
        code="credentials-needed-everywhere",
        title="Commands that lived on the password that init saved need credentials of their own",
        detect=find_later_readers,
    ),
    HazardKind(
        code="empty-state-branch",
        title="A script takes a state that it cannot read for an empty one, and acts on it",
        detect=find_empty_state_branches,
        loses_data=True,
    ),
    HazardKind(
        code="lockfile-needs-opentofu-1.10",
        title="A client older than 1.10 would run without a lock",
        detect=find_old_clients,
    ),
    HazardKind(
        code="merge-is-cut-over",
        title="A pipeline applies by itself as soon as the rewritten files are pushed or merged",
        detect=find_automatic_applies,
    ),
    HazardKind(
        code="old-pipelines-stay-armed",
        title="Jobs of earlier pipelines still name the source and can run later",
        detect=find_old_pipelines,
    ),
    HazardKind(
        code="overlay-follows-upstream",
        title="Repositories that follow this one at a moving reference get half of the change",
        detect=find_followed_upstream,
    ),
    HazardKind(
        code="project-scope-lost",
        title="The project that runs a pipeline scopes its states; a bucket does not",
        detect=find_lost_project_scope,
    ),
    HazardKind(
        code="reconfigure-skips-migration",
        title="An init with -reconfigure points at the target without moving the state",
        detect=find_reconfigured_inits,
    ),
    HazardKind(
        code="stale-ci-variables",
        title="An init takes its backend from variables that no file sets",
        detect=find_stale_variables,
    ),
    HazardKind(
        code="state-stored-in-what-it-destroys",
        title="A stack creates object storage: state kept there would go with the stack",
        detect=find_circular_storage,
        loses_data=True,
    ),
    HazardKind(
        code="two-names-for-one-state",
        title="The files call one state by several names",
        detect=find_double_names,
    ),
)

LOSING_DATA = frozenset(kind.code for kind in CATALOGUE if kind.loses_data)


def discover_hazards(evidence: Evidence) -> tuple[Hazard, ...]:
    """Return the hazards by place and code; nothing when no stack has its state in GitLab."""
    if not evidence.gitlab_stacks:
        return ()
    found = {
        Hazard(code=kind.code, place=place, message=message)
        for kind in CATALOGUE
        for place, message in kind.detect(evidence)
    }
    return tuple(sorted(found, key=lambda hazard: (hazard.place, hazard.code, hazard.message)))
