"""The protection rules of states: GitLab's table `terraform_state_protection_rules`, without HTTP.

Invariants: a project has at most one rule for a state name; an id is given once; a change is in the storage before it can
be seen. Deliberately not here: who may change a rule, and whom one keeps out (`access.py`). Sources:
`app/models/terraform/state_protection_rule.rb`, `app/services/terraform/state_protection_rules/`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from migrator.standin.configuration import ProtectionRule
from migrator.standin.model import RuleRow
from migrator.standin.storage import Storage


class RuleNotFoundError(Exception):
    """The project has no rule with this id."""


class NameTakenError(Exception):
    """The project has a rule for this state name already."""


class Rules:
    """All rules of all projects, over a storage that may hold some from before. `seeds` None: the feature is off."""

    def __init__(self, storage: Storage, seeds: Iterable[ProtectionRule] | None) -> None:
        self.enabled = seeds is not None
        self._storage = storage
        self._mutex = threading.RLock()
        self._rows = {row.id: row for row in storage.read_rules()}
        if not storage.is_seeded():
            # Nothing was ever served from a seeding that was cut short: it begins again.
            for row in list(self._rows.values()):
                self._drop(row)
        self._ids = count(1 + max(self._rows, default=0))
        if not storage.is_seeded():
            for seed in seeds or ():
                self.add(
                    seed.project,
                    seed.state_name,
                    level=seed.minimum_access_level_for_write,
                    allowed_from=seed.allowed_from,
                )

    def of(self, project: int) -> list[RuleRow]:
        """The rules of a project, oldest first."""
        return sorted((row for row in list(self._rows.values()) if row.project == project), key=lambda row: row.id)

    def find(self, project: int, state_name: str) -> RuleRow | None:
        """The rule in force for a state; None while the feature is off."""
        return next((row for row in self.of(project) if row.state_name == state_name), None) if self.enabled else None

    def add(self, project: int, state_name: str, *, level: str, allowed_from: str) -> RuleRow:
        """Make a rule.

        Raises: NameTakenError.
        """
        with self._mutex:
            self._check_free(project, state_name)
            row = RuleRow(
                id=next(self._ids),
                project=project,
                state_name=state_name,
                minimum_access_level_for_write=level,
                allowed_from=allowed_from,
            )
            self._put(row)
            return row

    def change(self, project: int, rule_id: int, changes: Mapping[str, Any]) -> RuleRow:
        """Change fields of a rule.

        Raises: RuleNotFoundError, NameTakenError.
        """
        with self._mutex:
            row = self._find(project, rule_id)
            changed = replace(row, **changes)
            if changed.state_name != row.state_name:
                self._check_free(project, changed.state_name)
            self._put(changed)
            return changed

    def remove(self, project: int, rule_id: int) -> None:
        """Remove a rule.

        Raises: RuleNotFoundError.
        """
        with self._mutex:
            self._drop(self._find(project, rule_id))

    def _find(self, project: int, rule_id: int) -> RuleRow:
        row = self._rows.get(rule_id)
        if row is None or row.project != project:
            raise RuleNotFoundError
        return row

    def _check_free(self, project: int, state_name: str) -> None:
        if any(row.state_name == state_name for row in self.of(project)):
            raise NameTakenError

    def _put(self, row: RuleRow) -> None:
        self._storage.write_rule(row)
        self._rows[row.id] = row

    def _drop(self, row: RuleRow) -> None:
        self._storage.remove_rule(row)
        del self._rows[row.id]
