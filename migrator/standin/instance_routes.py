"""The routes around the states: projects, the user, the token, GitLab's version.

Deliberately minimal: the fields that a client needs to find its way, in the shapes GitLab gives them.
"""

from __future__ import annotations

from urllib.parse import unquote

from migrator.standin.access import Channels
from migrator.standin.configuration import ACCESS_LEVELS, Project, Token
from migrator.standin.exchange import (
    Reply,
    Request,
    build_json_reply,
    build_message,
)
from migrator.standin.service import Service, authenticate, find_visible_project

VERSION = "18.6.0"
VERSION_WITH_RULES = "19.1.0"


def get_project(service: Service, request: Request, segment: str) -> Reply:
    """`GET /projects/:id`, by numeric id or encoded path; 404 for anybody who may not see it, signed in or not."""
    token = service.directory.find_identity(request, Channels.PLAIN)
    if token:
        token = authenticate(service, request)
    project = find_visible_project(service, request, segment, token=token)
    return build_json_reply(200, _describe_project(request, project, token))


def get_group_projects(service: Service, request: Request, segment: str) -> Reply:
    """`GET /groups/:id/projects?include_subgroups=true`, paged with `page` and `per_page` (at most 100)."""
    token = authenticate(service, request)
    group, query = unquote(segment), request.query
    nested = query.get("include_subgroups") == "true"
    found = [project for project in service.configuration.projects if _belongs(project, group, nested=nested)]
    visible = [project for project in found if token.access_level(project.id)]
    if not visible:
        return build_message(404, "404 Group Not Found")
    size = min(max(_integer(query.get("per_page"), 20), 1), 100)
    page = max(_integer(query.get("page"), 1), 1)
    shown = visible[(page - 1) * size : page * size]
    following = str(page + 1) if page * size < len(visible) else ""
    headers = (("X-Page", str(page)), ("X-Next-Page", following), ("X-Total", str(len(visible))))
    reply = build_json_reply(200, [_describe_project(request, project, token) for project in shown])
    return Reply(reply.status, reply.body, headers=headers)


def get_user(service: Service, request: Request) -> Reply:
    """`GET /user`."""
    token = authenticate(service, request)
    identity = {"id": service.directory.user_ids[token.user], "username": token.user, "name": token.user}
    return build_json_reply(200, {**identity, "state": "active"})


def get_own_token(service: Service, request: Request) -> Reply:
    """`GET /personal_access_tokens/self`."""
    token = authenticate(service, request)
    user = service.directory.user_ids[token.user]
    return build_json_reply(
        200,
        {
            "id": user,
            "name": token.user,
            "revoked": token.revoked,
            "scopes": sorted(token.scopes),
            "user_id": user,
            "active": not token.expired and not token.revoked,
            "expires_at": None,
        },
    )


def get_version(service: Service, request: Request) -> Reply:
    """`GET /version`."""
    authenticate(service, request)
    version = VERSION_WITH_RULES if service.rules.enabled else VERSION
    return build_json_reply(200, {"version": version, "revision": "standin"})


def _describe_project(request: Request, project: Project, token: Token | None) -> dict[str, object]:
    role = token.roles.get(project.id) if token else None
    return {
        "id": project.id,
        "name": project.path.rpartition("/")[2],
        "path": project.path.rpartition("/")[2],
        "path_with_namespace": project.path,
        "archived": project.archived,
        "web_url": f"http://{request.headers.get('host', '127.0.0.1')}/{project.path}",
        "infrastructure_access_level": "enabled" if project.infrastructure_enabled else "disabled",
        "permissions": {
            "project_access": {"access_level": ACCESS_LEVELS[role]} if role else None,
            "group_access": None,
        },
    }


def _belongs(project: Project, group: str, *, nested: bool) -> bool:
    namespace = project.path.rpartition("/")[0]
    return namespace == group or (nested and namespace.startswith(group + "/"))


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default
