"""Which path and method lead where.

Invariants: paths are matched raw, before decoding, so that an encoded slash is part of a name and a raw one is not; on
the versions route a name with a raw dot matches nothing, as in GitLab. A path without a route is 404 and a method
without one is 405, both before anybody has authenticated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

from migrator.standin import instance_routes, lock_routes, rule_routes, state_routes, version_routes
from migrator.standin.exchange import FORBIDDEN, NO_ROUTE, TOO_MANY, RefusedError, Reply, Request, build_error
from migrator.standin.graphql_route import post_graphql
from migrator.standin.service import Service, Visit, begin_visit

Route = TypeVar("Route")

STATE_METHODS: dict[str, Callable[[Visit], Reply]] = {
    "GET": state_routes.get_state,
    "HEAD": state_routes.get_state,
    "POST": state_routes.post_state,
    "DELETE": state_routes.delete_state,
}
LOCK_METHODS: dict[str, Callable[[Visit], Reply]] = {
    "POST": lock_routes.post_lock,
    "DELETE": lock_routes.delete_lock,
}
VERSION_METHODS: dict[str, Callable[[Visit, str], Reply]] = {
    "GET": version_routes.get_version,
    "HEAD": version_routes.get_version,
    "DELETE": version_routes.delete_version,
}

RULES_METHODS: dict[str, Callable[[Service, Request, str], Reply]] = {
    "GET": rule_routes.get_rules,
    "HEAD": rule_routes.get_rules,
    "POST": rule_routes.post_rule,
}
RULE_METHODS: dict[str, Callable[[Service, Request, str, str], Reply]] = {
    "PATCH": rule_routes.patch_rule,
    "DELETE": rule_routes.delete_rule,
}


def build_reply(service: Service, request: Request) -> Reply:
    """The reply to one request; the store may have changed."""
    try:
        return _dispatch(service, request)
    except RefusedError as refused:
        return refused.reply


def _dispatch(service: Service, request: Request) -> Reply:
    match request.path.split("/")[1:]:
        case ["api", "v4", "projects", project, "terraform", "state", name, *rest] if project and name:
            _check_throttle(service, unquote(name))
            return _dispatch_state(service, request, project, name, rest)
        case ["api", "v4", "projects", project, "terraform", "state_protection_rules", *rest] if project:
            _check_throttle(service, None)
            return _dispatch_rules(service, request, project, rest)
        case parts:
            _check_throttle(service, None)
            return _dispatch_instance(service, request, parts)


def _dispatch_state(service: Service, request: Request, project: str, name: str, rest: list[str]) -> Reply:
    match rest:
        case []:
            state_method = _find_method(STATE_METHODS, request)
            if request.method == "POST":
                state_routes.check_size(service, request, project, unquote(name))
            return state_method(begin_visit(service, request, project, name))
        case ["lock"]:
            lock_method = _find_method(LOCK_METHODS, request)
            return lock_method(begin_visit(service, request, project, name))
        case ["versions", serial] if serial and "." not in name:
            version_method = _find_method(VERSION_METHODS, request)
            return version_method(begin_visit(service, request, project, name), serial)
        case ["authorize"] if request.method == "POST":
            # Only GitLab's own front server may ask, and proves who it is by a signature that nobody else has.
            return FORBIDDEN
        case _:
            return NO_ROUTE


def _dispatch_rules(service: Service, request: Request, project: str, rest: list[str]) -> Reply:
    match rest:
        case []:
            return _find_method(RULES_METHODS, request)(service, request, project)
        case [rule] if rule:
            return _find_method(RULE_METHODS, request)(service, request, project, rule)
        case _:
            return NO_ROUTE


def _dispatch_instance(service: Service, request: Request, parts: list[str]) -> Reply:
    if parts == ["api", "graphql"]:
        return post_graphql(service, request) if request.method == "POST" else NO_ROUTE
    if not request.reads:
        return NO_ROUTE
    match parts:
        case ["api", "v4", "projects", project] if project:
            return instance_routes.get_project(service, request, project)
        case ["api", "v4", "groups", group, "projects"] if group:
            return instance_routes.get_group_projects(service, request, group)
        case ["api", "v4", "user"]:
            return instance_routes.get_user(service, request)
        case ["api", "v4", "personal_access_tokens", "self"]:
            return instance_routes.get_own_token(service, request)
        case ["api", "v4", "version"]:
            return instance_routes.get_version(service, request)
        case _:
            return NO_ROUTE


def _find_method(methods: dict[str, Route], request: Request) -> Route:
    route = methods.get(request.method)
    if route is None:
        refused = build_error(405, "405 Not Allowed")
        allow = ("Allow", ", ".join(["OPTIONS", *methods]))
        raise RefusedError(Reply(refused.status, refused.body, headers=(allow,)))
    return route


def _check_throttle(service: Service, name: str | None) -> None:
    if service.faults.strike("g", name):
        raise RefusedError(TOO_MANY)
