"""GitLab's protection rules: a write, lock or unlock of a protected state is answered 403, whoever holds the lock.

Invariants: a rule is made only where the state has none, is never changed, and is removed by its id only while it is
exactly what was made; a lost reply is settled by reading the rules back. A GitLab without rules and a token that may not
make them are answers, not errors. The rule that is made names the level ``admin``: nobody below an administrator gets
past it, this program's own token included, and a Maintainer can still remove the rule itself.
Protocol: GitLab ``lib/api/terraform/state_protection_rules.rb`` (list 18.11, remove 19.0, make 19.1; behind the feature flag
``protected_terraform_states``).
"""

import json
from http import HTTPStatus

import msgspec

from migrator.backends.base import Protection, ProtectionRule, Unprotected
from migrator.backends.gitlab_answer import Answer, LostReplyError, build_refusal
from migrator.backends.gitlab_lock import GitLabLock
from migrator.backends.retry import TransientError, retry_call
from migrator.errors import BackendError, CredentialsRefusedError, MigratorError, UnknownOutcomeError

_LEVEL = "admin"
_ANYWHERE = "anywhere"
_NO_RULES = "this GitLab has no protection rules for states, or the feature is off"
_CANNOT_MAKE = "this GitLab lists protection rules and cannot make them (from 19.1 on it can)"
_MAY_NOT_READ = "the token may not read protection rules"
_MAY_NOT_MAKE = "the token may not make protection rules"


class _Rule(msgspec.Struct):
    id: int
    state_name: str
    minimum_access_level_for_write: str
    allowed_from: str = _ANYWHERE


class _RulesOffError(Exception):
    """This GitLab knows no protection rules."""


class GitLabProtection(GitLabLock):
    """The protection rules of a project's states (see ``StateSource``)."""

    _rules_known = True  # until this GitLab says that it has none

    def read_protection(self, name: str) -> Protection:
        """Return the rule that stands for ``name`` (see ``StateSource``)."""
        try:
            return Protection(rule=self._find_rule(name))
        except _RulesOffError:
            return Protection(reason=_NO_RULES)
        except CredentialsRefusedError as refusal:
            if not _is_forbidden(refusal):
                raise
            return Protection(reason=_MAY_NOT_READ)

    def protect_state(self, name: str) -> Protection:
        """Have a rule for ``name`` that seals it (see ``StateSource``)."""
        found = self.read_protection(name)
        if found.rule or found.reason:
            return found
        return retry_call(lambda: self._attempt_protect(name), policy=self._retry)

    def unprotect_state(self, name: str, rule_id: int) -> Unprotected:
        """Remove the rule that ``protect_state`` made (see ``StateSource``)."""
        return retry_call(lambda: self._attempt_unprotect(name, rule_id), policy=self._retry)

    def _attempt_protect(self, name: str) -> Protection:
        """Ask for the rule once; without a clear answer let GitLab say which rules it has."""
        rule = {"state_name": name, "minimum_access_level_for_write": _LEVEL, "allowed_from": _ANYWHERE}
        try:
            answer = self._exchange.write("POST", self._rules_path(), body=json.dumps(rule).encode())
        except LostReplyError as error:
            return self._settle_protect(name, error)
        if answer.is_page or answer.status >= 500:
            return self._settle_protect(name, build_refusal(answer))
        match answer.status:
            case HTTPStatus.CREATED:
                return Protection(rule=_build_rule(_decode(answer, _Rule)), made=True)
            case HTTPStatus.FORBIDDEN:
                return Protection(reason=_MAY_NOT_MAKE)
            case HTTPStatus.NOT_FOUND | HTTPStatus.METHOD_NOT_ALLOWED:
                return Protection(reason=_CANNOT_MAKE)
            case HTTPStatus.BAD_REQUEST | HTTPStatus.CONFLICT | HTTPStatus.UNPROCESSABLE_ENTITY:
                taken = self._find_rule(name)
                return Protection(rule=taken, reason="" if taken else f"GitLab refuses the rule: {answer.message}")
        raise build_refusal(answer)

    def _settle_protect(self, name: str, doubt: MigratorError) -> Protection:
        rule = self._find_rule(name)
        if rule is None:
            raise TransientError(
                UnknownOutcomeError(
                    doubt.message,
                    where=doubt.where,
                    now=f"{name} has no protection rule yet; the lost request may still make one",
                    hint="run the command again: it looks at the rules first",
                )
            )
        # There was none a moment ago.
        return Protection(rule=rule, made=rule.seals)

    def _attempt_unprotect(self, name: str, rule_id: int) -> Unprotected:
        try:
            rule = self._find_rule(name)
        except _RulesOffError:
            return Unprotected.SWITCHED_OFF
        if rule is None or rule.id != rule_id:
            return Unprotected.ABSENT
        if (rule.level, rule.allowed_from) != (_LEVEL, _ANYWHERE):
            return Unprotected.CHANGED
        try:
            answer = self._exchange.write("DELETE", f"{self._rules_path()}/{rule_id}", body=b"")
        except LostReplyError as error:
            raise TransientError(error) from error
        if answer.status >= 500:
            raise TransientError(build_refusal(answer))
        if answer.status == HTTPStatus.NO_CONTENT:
            return Unprotected.REMOVED
        if answer.status == HTTPStatus.NOT_FOUND and not answer.is_page:
            return Unprotected.ABSENT
        raise build_refusal(answer)

    def _find_rule(self, name: str) -> ProtectionRule | None:
        found = next((rule for rule in self._list_rules() if rule.state_name == name), None)
        return _build_rule(found) if found else None

    def _list_rules(self) -> list[_Rule]:
        if not self._rules_known:
            raise _RulesOffError
        answer = self._exchange.read(self._rules_path())
        if answer.status == HTTPStatus.NOT_FOUND and not answer.is_page and "Project" not in answer.message:
            self._rules_known = False
            raise _RulesOffError
        if answer.status != HTTPStatus.OK or answer.is_page:
            raise build_refusal(answer)
        return _decode(answer, list[_Rule])

    def _rules_path(self) -> str:
        return f"{self._project_path()}/terraform/state_protection_rules"
