"""`/projects/:id/terraform/state_protection_rules` (source: `lib/api/terraform/state_protection_rules.rb`, GitLab 19.1).

Invariant: the order of checks is GitLab's: parameters (400), credentials (401), project (404), feature (404), read ability
(403), and for a change the admin ability (403). Basic authentication and job tokens are nobody here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from migrator.standin.access import may_read, may_write
from migrator.standin.configuration import PLACES, RULE_LEVELS, Project
from migrator.standin.exchange import (
    FORBIDDEN,
    JSON,
    NO_CONTENT,
    VERSION_NOT_FOUND,
    RefusedError,
    Reply,
    Request,
    build_error,
    build_json_reply,
)
from migrator.standin.model import RuleRow
from migrator.standin.rules import NameTakenError, RuleNotFoundError
from migrator.standin.service import NAME_LIMIT, Service, authenticate, find_visible_project

INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
FIELDS: Mapping[str, tuple[str, ...] | None] = {
    "state_name": None,
    "minimum_access_level_for_write": RULE_LEVELS,
    "allowed_from": PLACES,
}
REQUIRED = ("state_name", "minimum_access_level_for_write")


def get_rules(service: Service, request: Request, segment: str) -> Reply:
    """Every rule of the project, for developers."""
    project = _find_project(service, request, segment)
    return build_json_reply(200, [_describe(row) for row in service.rules.of(project.id)])


def post_rule(service: Service, request: Request, segment: str) -> Reply:
    """Make a rule: 201, or 422 where the state has one."""
    fields = _read_fields(request)
    if missing := [name for name in REQUIRED if name not in fields]:
        return build_error(400, ", ".join(f"{name} is missing" for name in missing))
    project = _find_project(service, request, segment)

    def add() -> RuleRow:
        return service.rules.add(
            project.id,
            fields["state_name"],
            level=fields["minimum_access_level_for_write"],
            allowed_from=fields.get("allowed_from", "anywhere"),
        )

    return _change(201, add)


def patch_rule(service: Service, request: Request, segment: str, rule_segment: str) -> Reply:
    """Change the fields that are sent."""
    number = _read_number(rule_segment)
    fields = _read_fields(request)
    project = _find_project(service, request, segment)
    return _change(200, lambda: service.rules.change(project.id, number, fields))


def delete_rule(service: Service, request: Request, segment: str, rule_segment: str) -> Reply:
    """Remove a rule: 204."""
    number = _read_number(rule_segment)
    project = _find_project(service, request, segment)
    try:
        service.rules.remove(project.id, number)
    except RuleNotFoundError:
        return VERSION_NOT_FOUND
    return NO_CONTENT


def _find_project(service: Service, request: Request, segment: str) -> Project:
    token = authenticate(service, request)
    project = find_visible_project(service, request, segment, token=token)
    if not service.rules.enabled:
        raise RefusedError(VERSION_NOT_FOUND)
    if not (may_read if request.reads else may_write)(project, token):
        raise RefusedError(FORBIDDEN)
    return project


def _change(status: int, change: Callable[[], RuleRow]) -> Reply:
    try:
        return build_json_reply(status, _describe(change()))
    except RuleNotFoundError:
        return VERSION_NOT_FOUND
    except NameTakenError:
        return build_json_reply(422, {"message": {"error": ["State name has already been taken"]}})


def _describe(row: RuleRow) -> dict[str, object]:
    return {
        "id": row.id,
        "project_id": row.project,
        "state_name": row.state_name,
        "minimum_access_level_for_write": row.minimum_access_level_for_write,
        "allowed_from": row.allowed_from,
    }


def _read_fields(request: Request) -> dict[str, str]:
    fields = {name: value for name, value in _read_body(request).items() if name in FIELDS}
    for name, value in fields.items():
        allowed = FIELDS[name]
        if allowed is not None and value not in allowed:
            raise RefusedError(build_error(400, f"{name} does not have a valid value"))
    if len(fields.get("state_name", "")) > NAME_LIMIT:
        raise RefusedError(build_error(400, f"state_name state_name must be less than {NAME_LIMIT} characters"))
    return fields


def _read_body(request: Request) -> dict[str, str]:
    if request.media_type != JSON:
        return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusedError(build_error(400, "message body does not match declared format")) from None
    return {name: str(value) for name, value in document.items()} if isinstance(document, dict) else {}


def _read_number(segment: str) -> int:
    if not INTEGER.fullmatch(segment):
        raise RefusedError(build_error(400, "terraform_state_protection_rule_id is invalid"))
    return int(segment)
