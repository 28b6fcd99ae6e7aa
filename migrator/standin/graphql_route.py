"""POST /api/graphql. Mistakes in a query are `errors` in a 200, as GitLab answers them; only credentials are not."""

from __future__ import annotations

import json
from typing import Any

from migrator.standin.access import Channels
from migrator.standin.exchange import EXPIRED, RefusedError, Reply, Request, build_error, build_json_reply
from migrator.standin.graphql_execution import build_result
from migrator.standin.graphql_language import QueryError, parse_query
from migrator.standin.graphql_schema import LATE_FIELDS, Viewer, build_schema
from migrator.standin.service import Service

EARLY_SCHEMA = build_schema(late_fields=frozenset())
FULL_SCHEMA = build_schema(late_fields=frozenset(field for fields in LATE_FIELDS.values() for field in fields))
INVALID_TOKEN = build_json_reply(401, {"errors": [{"message": "Invalid token"}]})


def post_graphql(service: Service, request: Request) -> Reply:
    """Answer one query. Without credentials it sees what the public sees: no project."""
    viewer = _find_viewer(service, request)
    fields = _read_fields(request)
    query, variables, name = fields.get("query"), fields.get("variables") or {}, fields.get("operationName")
    if not isinstance(query, str) or not isinstance(variables, dict) or not isinstance(name, str | None):
        return _build_errors(QueryError("Unexpected end of document"))
    schema = EARLY_SCHEMA if service.faults.strike("n", None) else FULL_SCHEMA
    try:
        result = build_result(
            schema, parse_query(query), context=viewer, variables=variables, operation_name=name or None
        )
    except QueryError as error:
        return _build_errors(error)
    return build_json_reply(200, result)


def _find_viewer(service: Service, request: Request) -> Viewer:
    try:
        token = service.directory.find_identity(request, Channels.PLAIN)
    except RefusedError:
        raise RefusedError(INVALID_TOKEN) from None
    if token and service.faults.strike("i", None):
        raise RefusedError(EXPIRED)
    if token and not {"api", "read_api"} & token.scopes:
        raise RefusedError(INVALID_TOKEN)
    return Viewer(service, token)


def _read_fields(request: Request) -> dict[str, Any]:
    try:
        fields = json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusedError(build_error(400, "message body does not match declared format")) from None
    return fields if isinstance(fields, dict) else {}


def _build_errors(error: QueryError) -> Reply:
    return build_json_reply(200, {"errors": [error.entry]})
