"""The part of GitLab's GraphQL schema that shows states, and the three mutations on them.

Invariants: a list that the viewer may not see is empty and an object null, never an error; the lock's ID is never
shown. Sources: `spec/requests/api/graphql/project/terraform/states_spec.rb`, `app/graphql/mutations/terraform/state/`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from migrator.standin.access import may_read, may_write
from migrator.standin.configuration import Project, Token
from migrator.standin.graphql_execution import Field, Schema
from migrator.standin.graphql_language import QueryError
from migrator.standin.graphql_paging import ARGUMENTS, build_page
from migrator.standin.instance_routes import VERSION
from migrator.standin.model import StateRow, Version
from migrator.standin.service import Service
from migrator.standin.store import StateDeletedError, StateLockedError, StateNotFoundError

STATE_PREFIX = "gid://gitlab/Terraform::State/"
NO_PERMISSION = (
    "The resource that you are attempting to access does not exist or you don't have permission to perform this action"
)
# GitLab has these from 19.x only; fault n takes them away.
LATE_FIELDS = {"TerraformState": ("versions", "protectionRuleExists")}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks; `token` None for nobody in particular."""

    service: Service
    token: Token | None

    def sees(self, project: Project) -> bool:
        """True for a member of the project."""
        return self.token is not None and self.token.access_level(project.id) > 0

    def reads(self, project: Project) -> bool:
        """True where the project's states may be read."""
        return self.token is not None and may_read(project, self.token)


@dataclass(frozen=True, slots=True)
class _VersionNode:
    row: StateRow
    version: Version


def build_schema(*, late_fields: frozenset[str]) -> Schema:
    """The schema, with those of the late fields that are named."""
    types: dict[str, dict[str, Field]] = {
        "Query": _query_fields(),
        "Mutation": {name: _mutation(change) for name, change in MUTATIONS.items()},
        "Project": _project_fields(),
        "Group": {
            "id": _plain("ID", lambda group: f"gid://gitlab/Group/{group}"),
            "fullPath": _plain("ID", str),
            "projects": _connection("Project", _group_projects, "includeSubgroups"),
        },
        "TerraformState": _state_fields(),
        "TerraformStateVersion": _version_fields(),
        "UserCore": _user_fields(),
        "CiJob": {"id": _plain("JobID", str), "name": _plain("String", lambda _: "apply")},
        "Metadata": {"version": _plain("String", str), "revision": _plain("String", lambda _: "standin")},
        "TerraformStatePayload": {
            "errors": _plain("String", lambda payload: payload["errors"]),
            "clientMutationId": _plain("String", lambda payload: payload["clientMutationId"]),
        },
        "__Type": {
            "name": _plain("String", lambda entry: entry[0]),
            "kind": _plain("String", lambda _: "OBJECT"),
            "fields": Field(
                type="__Field",
                many=True,
                arguments=frozenset({"includeDeprecated"}),
                resolve=lambda _viewer, entry, _arguments: list(entry[1]),
            ),
        },
        "__Field": {"name": _plain("String", str)},
        "__Schema": {
            "types": Field(type="__Type", many=True, resolve=lambda *_: list(types.items())),
        },
        "PageInfo": {
            "hasNextPage": _plain("Boolean", lambda page: page.has_next),
            "hasPreviousPage": _plain("Boolean", lambda page: page.has_previous),
            "startCursor": _plain("String", lambda page: page.edges[0].cursor if page.edges else None),
            "endCursor": _plain("String", lambda page: page.edges[-1].cursor if page.edges else None),
        },
    }
    for name in ("Project", "TerraformState", "TerraformStateVersion"):
        types |= _connection_types(name)
    for name, fields in LATE_FIELDS.items():
        for field in set(fields) - late_fields:
            del types[name][field]
    types["Query"]["__schema"] = Field(type="__Schema", resolve=lambda *_: types)
    types["Query"]["__type"] = Field(
        type="__Type",
        arguments=frozenset({"name"}),
        required=frozenset({"name"}),
        resolve=lambda _viewer, _parent, arguments: _find_type(types, str(arguments["name"])),
    )
    return types


def _query_fields() -> dict[str, Field]:
    path = frozenset({"fullPath"})
    return {
        "project": Field(type="Project", arguments=path, required=path, resolve=_find_project),
        "group": Field(type="Group", arguments=path, required=path, resolve=_find_group),
        "currentUser": Field(type="UserCore", resolve=lambda viewer, *_: viewer.token and viewer.token.user),
        "metadata": Field(type="Metadata", resolve=lambda viewer, *_: viewer.token and VERSION),
    }


def _project_fields() -> dict[str, Field]:
    name = frozenset({"name"})
    return {
        "id": _plain("ID", lambda project: f"gid://gitlab/Project/{project.id}"),
        "fullPath": _plain("ID", lambda project: project.path),
        "name": _plain("String", lambda project: project.path.rpartition("/")[2]),
        "archived": _plain("Boolean", lambda project: project.archived),
        "terraformStates": _connection("TerraformState", _project_states),
        "terraformState": Field(type="TerraformState", arguments=name, required=name, resolve=_project_state),
    }


def _state_fields() -> dict[str, Field]:
    return {
        "id": _plain("TerraformStateID", lambda row: f"{STATE_PREFIX}{row.id}"),
        "name": _plain("String", lambda row: row.name),
        "lockedAt": _plain("Time", lambda row: row.lock.created if row.lock else None),
        "lockedByUser": _plain("UserCore", lambda row: row.lock.user if row.lock else None),
        "latestVersion": _plain(
            "TerraformStateVersion", lambda row: _VersionNode(row, row.latest) if row.latest else None
        ),
        "createdAt": _plain("Time", lambda row: row.created_at),
        "updatedAt": _plain("Time", lambda row: row.updated_at),
        "deletedAt": _plain("Time", lambda row: row.deleted_at),
        "versions": _connection("TerraformStateVersion", _state_versions),
        "protectionRuleExists": Field(type="Boolean", resolve=_is_protected),
    }


def _version_fields() -> dict[str, Field]:
    return {
        "id": _plain("ID", lambda node: f"gid://gitlab/Terraform::StateVersion/{node.version.id}"),
        "serial": _plain("Int", lambda node: node.version.serial),
        "downloadPath": _plain("String", _download_path),
        "createdByUser": _plain("UserCore", lambda node: node.version.created_by),
        "job": _plain("CiJob", lambda node: "gid://gitlab/Ci::Build/1" if node.version.by_job else None),
        "createdAt": _plain("Time", lambda node: node.version.created_at),
        "updatedAt": _plain("Time", lambda node: node.version.created_at),
    }


def _user_fields() -> dict[str, Field]:
    return {
        "id": Field(
            type="UserID",
            resolve=lambda viewer, user, _: f"gid://gitlab/User/{viewer.service.directory.user_ids.get(user, 0)}",
        ),
        "username": _plain("String", str),
        "name": _plain("String", str),
    }


def _plain(kind: str, read: Callable[[Any], Any]) -> Field:
    return Field(type=kind, resolve=lambda _viewer, parent, _arguments: read(parent))


def _connection(
    node: str, read: Callable[[Viewer, Any, Mapping[str, Any]], list[tuple[Any, Any]]], *extra: str
) -> Field:
    return Field(
        type=f"{node}Connection",
        arguments=ARGUMENTS | set(extra),
        resolve=lambda viewer, parent, arguments: build_page(read(viewer, parent, arguments), arguments),
    )


def _connection_types(node: str) -> dict[str, dict[str, Field]]:
    return {
        f"{node}Connection": {
            "count": _plain("Int", lambda page: page.count),
            "pageInfo": _plain("PageInfo", lambda page: page),
            "nodes": Field(type=node, many=True, resolve=lambda _viewer, page, _: [edge.node for edge in page.edges]),
            "edges": Field(type=f"{node}Edge", many=True, resolve=lambda _viewer, page, _: page.edges),
        },
        f"{node}Edge": {
            "node": _plain(node, lambda edge: edge.node),
            "cursor": _plain("String", lambda edge: edge.cursor),
        },
    }


# Resolvers


def _find_type(types: Schema, name: str) -> tuple[str, Mapping[str, Field]] | None:
    return (name, types[name]) if name in types else None


def _find_project(viewer: Viewer, _parent: object, arguments: Mapping[str, Any]) -> Project | None:
    project = viewer.service.directory.by_path.get(str(arguments["fullPath"]))
    return project if project and viewer.sees(project) else None


def _find_group(viewer: Viewer, _parent: object, arguments: Mapping[str, Any]) -> str | None:
    group = str(arguments["fullPath"])
    return group if _group_projects(viewer, group, {"includeSubgroups": True}) else None


def _group_projects(viewer: Viewer, group: str, arguments: Mapping[str, Any]) -> list[tuple[int, Project]]:
    found = []
    for project in sorted(viewer.service.configuration.projects, key=lambda project: project.id):
        namespace = project.path.rpartition("/")[0]
        nested = bool(arguments.get("includeSubgroups")) and namespace.startswith(group + "/")
        if viewer.sees(project) and (namespace == group or nested):
            found.append((project.id, project))
    return found


def _project_states(viewer: Viewer, project: Project, _arguments: object) -> list[tuple[str, StateRow]]:
    if not viewer.reads(project):
        return []
    return [(row.name, row) for row in viewer.service.store.rows(project.id)]


def _project_state(viewer: Viewer, project: Project, arguments: Mapping[str, Any]) -> StateRow | None:
    return viewer.service.store.find(project.id, str(arguments["name"])) if viewer.reads(project) else None


def _state_versions(_viewer: Viewer, row: StateRow, _arguments: object) -> list[tuple[int, _VersionNode]]:
    # Newest first: the key that ascends is the negative serial.
    return [(-version.serial, _VersionNode(row, version)) for version in reversed(row.versions)]


def _is_protected(viewer: Viewer, row: StateRow, _arguments: object) -> bool:
    return viewer.service.rules.find(row.project, row.name) is not None


def _download_path(node: _VersionNode) -> str:
    name = quote(node.row.name, safe="")
    return f"/api/v4/projects/{node.row.project}/terraform/state/{name}/versions/{node.version.serial}"


# Mutations


def _lock(viewer: Viewer, row: StateRow) -> list[str]:
    try:
        user = viewer.token.user if viewer.token else ""
        viewer.service.store.lock(row.project, row.name, lock_id=str(uuid.uuid4()), user=user)
    except StateLockedError:
        return ["state is already locked"]
    return []


def _unlock(viewer: Viewer, row: StateRow) -> list[str]:
    viewer.service.store.unlock(row.project, row.name, lock_id=None)
    return []


def _delete(viewer: Viewer, row: StateRow) -> list[str]:
    try:
        viewer.service.store.schedule_removal(row.project, row.name)
    except StateLockedError:
        return ["Cannot remove a locked state"]
    return []


MUTATIONS: dict[str, Callable[[Viewer, StateRow], list[str]]] = {
    "terraformStateLock": _lock,
    "terraformStateUnlock": _unlock,
    "terraformStateDelete": _delete,
}


def _mutation(change: Callable[[Viewer, StateRow], list[str]]) -> Field:
    def resolve(viewer: Viewer, _parent: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
        row = _find_writable(viewer, arguments["input"])
        try:
            errors = change(viewer, row)
        except (StateDeletedError, StateNotFoundError):
            errors = ["state is being deleted"]
        return {"errors": errors, "clientMutationId": arguments["input"].get("clientMutationId")}

    only = frozenset({"input"})
    return Field(type="TerraformStatePayload", arguments=only, required=only, resolve=resolve)


def _find_writable(viewer: Viewer, given: Any) -> StateRow:
    named = str(given.get("id", "")) if isinstance(given, dict) else ""
    number = named.removeprefix(STATE_PREFIX)
    row = viewer.service.store.find_by_id(int(number)) if number.isascii() and number.isdigit() else None
    if row is None or viewer.token is None or not _may_change(viewer, viewer.token, row):
        raise QueryError(NO_PERMISSION)
    return row


def _may_change(viewer: Viewer, token: Token, row: StateRow) -> bool:
    # Protection rules bind the REST API only: the user interface's lock and unlock pass them by.
    project = viewer.service.directory.projects[row.project]
    return may_write(project, token) and "api" in token.scopes
