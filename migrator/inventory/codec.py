"""Inventory -> the binding JSON of interface.md section 5. Equal inventories give equal bytes."""

import json
from collections.abc import Mapping

from migrator.inventory.model import Hazard, Inventory, Place, Reference, Stack, StateName

FORMAT = "migrator.inventory/1"


def encode_inventory(inventory: Inventory) -> bytes:
    """Return the document as UTF-8 JSON, indented, with a newline at its end."""
    return dump_document(build_document(inventory)).encode()


def dump_document(document: object) -> str:
    """Return a document as JSON for people and programs: indented, every letter as it is, with a newline at its end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def build_document(inventory: Inventory) -> dict[str, object]:
    """Return the document as plain dictionaries and lists, keys in the order of interface.md."""
    return {
        "format": FORMAT,
        "repository": {"root": ".", "revision": inventory.revision},
        "stacks": [_stack(stack) for stack in inventory.stacks],
        "references": [_reference(reference) for reference in inventory.references],
        "hazards": [_hazard(hazard) for hazard in inventory.hazards],
    }


def _stack(stack: Stack) -> Mapping[str, object]:
    backend = {"type": stack.backend.type, **describe_place(stack.backend.place)} if stack.backend else None
    return {
        "name": stack.name,
        "directory": stack.directory,
        "backend": backend,
        "states": [_state(state) for state in stack.states],
    }


def _state(state: StateName) -> Mapping[str, object]:
    evidence = [{"path": place.path, "line": place.start_line} for place in state.evidence]
    return {"environment": state.environment, "name": state.name, "evidence": evidence}


def _reference(reference: Reference) -> Mapping[str, object]:
    return {
        **describe_place(reference.place),
        "start_column": reference.start_column,
        "end_column": reference.end_column,
        "kind": reference.kind.value,
        "disposition": reference.disposition.value,
        "stack": reference.stack,
        "stacks": list(reference.stacks),
        "reason": reference.reason,
    }


def _hazard(hazard: Hazard) -> Mapping[str, object]:
    return {"code": hazard.code, **describe_place(hazard.place), "message": hazard.message}


def describe_place(place: Place) -> Mapping[str, object]:
    """Return the keys that name a place."""
    return {"path": place.path, "start_line": place.start_line, "end_line": place.end_line}
