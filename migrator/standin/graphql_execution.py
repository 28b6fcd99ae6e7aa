"""A syntax tree and a schema -> the reply: first every mistake of the query, then the values.

PURE, but for what the schema's resolvers do. The schema is data: type name -> field name -> Field. Deliberately not here: interfaces,
unions, complexity limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from migrator.standin.graphql_language import (
    MAX_DEPTH,
    Document,
    Operation,
    QueryError,
    Selection,
    Variable,
)

ROOTS = {"query": "Query", "mutation": "Mutation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a type: what it is (a name that is no key of the schema is a scalar) and where its value comes from."""

    type: str
    resolve: Callable[[Any, Any, Mapping[str, Any]], Any]
    arguments: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    many: bool = False


Schema = Mapping[str, Mapping[str, Field]]


def build_result(
    schema: Schema, document: Document, *, context: object, variables: Mapping[str, Any], operation_name: str | None
) -> dict[str, Any]:
    """The reply's `data` and `errors`. `context` is handed to every resolver.

    Raises: QueryError where no operation can be chosen.
    """
    operation = _choose_operation(document, operation_name)
    execution = _Execution(schema, document, context, _complete_variables(operation, variables))
    root = ROOTS[operation.kind]
    execution.check(operation.selections, root, depth=0)
    if execution.errors:
        return {"errors": execution.errors}
    data = execution.build(operation.selections, root, None)
    return {"data": data, "errors": execution.errors} if execution.errors else {"data": data}


class _Execution:
    def __init__(self, schema: Schema, document: Document, context: object, variables: Mapping[str, Any]) -> None:
        self._schema = schema
        self._fragments = document.fragments
        self._context = context
        self._variables = variables
        self.errors: list[dict[str, Any]] = []

    def check(self, selections: tuple[Selection, ...], kind: str, *, depth: int) -> None:
        """Collect every mistake that can be seen without a value."""
        if depth > MAX_DEPTH:
            raise QueryError(f"Query is nested deeper than {MAX_DEPTH}")
        for node in self._expand(selections, kind):
            if node.name == "__typename":
                continue
            field = self._schema[kind].get(node.name)
            if field is None:
                self._note_unknown_field(node, kind)
                continue
            self._check_arguments(node, field)
            if bool(node.selections) != (field.type in self._schema):
                self._note_selection_mismatch(node, field)
            elif node.selections:
                self.check(node.selections, field.type, depth=depth + 1)

    def build(self, selections: tuple[Selection, ...], kind: str, parent: object) -> dict[str, Any]:
        """The selected fields of one object."""
        merged: dict[str, Selection] = {}
        result: dict[str, Any] = {}
        for node in self._expand(selections, kind):
            merged[node.key] = _merge(merged[node.key], node) if node.key in merged else node
        for key, node in merged.items():
            result[key] = kind if node.name == "__typename" else self._build_field(node, kind, parent)
        return result

    def _build_field(self, node: Selection, kind: str, parent: object) -> Any:
        field = self._schema[kind][node.name]
        arguments = {name: self._evaluate(value) for name, value in node.arguments.items()}
        try:
            value = field.resolve(self._context, parent, arguments)
        except QueryError as error:
            self.errors.append({**error.entry, "path": [node.key]})
            return None
        if value is None or field.type not in self._schema:
            return value
        if field.many:
            return [self.build(node.selections, field.type, item) for item in value]
        return self.build(node.selections, field.type, value)

    def _expand(self, selections: tuple[Selection, ...], kind: str, depth: int = 0) -> list[Selection]:
        """The fields, with fragments put in and directives obeyed."""
        if depth > MAX_DEPTH:
            raise QueryError("Fragments contain each other")
        fields: list[Selection] = []
        for node in selections:
            if not self._is_included(node):
                continue
            if node.fragment is None and not node.inline:
                fields.append(node)
                continue
            body = self._fragments.get(node.fragment) if node.fragment else node
            if body is None:
                raise QueryError(f"Fragment {node.fragment} was used, but not defined", line=node.line)
            if body.on in (None, kind):
                fields += self._expand(body.selections, kind, depth + 1)
        return fields

    def _is_included(self, node: Selection) -> bool:
        for name, arguments in node.directives:
            condition = bool(self._evaluate(arguments.get("if")))
            if (name == "include" and not condition) or (name == "skip" and condition):
                return False
        return True

    def _evaluate(self, value: object) -> Any:
        if isinstance(value, Variable):
            if value.name not in self._variables:
                raise QueryError(f"Variable ${value.name} is used but not declared")
            return self._variables[value.name]
        if isinstance(value, list):
            return [self._evaluate(item) for item in value]
        if isinstance(value, dict):
            return {name: self._evaluate(member) for name, member in value.items()}
        return value

    def _check_arguments(self, node: Selection, field: Field) -> None:
        for name in node.arguments:
            if name not in field.arguments:
                self._note(
                    node,
                    f"Field '{node.name}' doesn't accept argument '{name}'",
                    code="argumentNotAccepted",
                    name=node.name,
                    argumentName=name,
                )
        given = {name for name, value in node.arguments.items() if self._evaluate(value) is not None}
        if missing := sorted(field.required - given):
            names = ", ".join(missing)
            self._note(
                node,
                f"Field '{node.name}' is missing required arguments: {names}",
                code="missingRequiredArguments",
                name=node.name,
                arguments=names,
            )

    def _note_unknown_field(self, node: Selection, kind: str) -> None:
        message = f"Field '{node.name}' doesn't exist on type '{kind}'"
        self._note(node, message, code="undefinedField", typeName=kind, fieldName=node.name)

    def _note_selection_mismatch(self, node: Selection, field: Field) -> None:
        if node.selections:
            message = f"Selections can't be made on scalars (field '{node.name}' returns {field.type})"
        else:
            message = f"Field must have selections (field '{node.name}' returns {field.type} but has no selections)"
        self._note(node, message, code="selectionMismatch", nodeName=node.name, typeName=field.type)

    def _note(self, node: Selection, message: str, **extensions: str) -> None:
        self.errors.append(QueryError(message, line=node.line, column=node.column, **extensions).entry)


def _choose_operation(document: Document, name: str | None) -> Operation:
    if name is None and len(document.operations) == 1:
        return document.operations[0]
    for operation in document.operations:
        if name is not None and operation.name == name:
            return operation
    raise QueryError(f"No operation named {name!r}" if name else "An operation name is required")


def _complete_variables(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for definition in operation.variables:
        value = given.get(definition.name, definition.default)
        if value is None and definition.required:
            kind = definition.type
            raise QueryError(f"Variable ${definition.name} of type {kind} was provided invalid value")
        values[definition.name] = value
    return values


def _merge(first: Selection, second: Selection) -> Selection:
    return Selection(
        name=first.name,
        alias=first.alias,
        arguments=first.arguments,
        selections=first.selections + second.selections,
        line=first.line,
        column=first.column,
    )
