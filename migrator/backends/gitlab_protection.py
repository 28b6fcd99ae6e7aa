"""GitLab's protection rules: a write, lock or unlock of a protected state is answered 403, whoever holds the lock.

Invariants: a rule is never changed, and is removed by its id only while it is exactly what is made here; a reply of no
use is settled by reading the rules back. A GitLab without rules and a token that may not make them are answers, not
errors. The rule that is made asks for an administrator: this program's own token is kept out too, and a Maintainer can
still remove the rule itself. Protocol: GitLab ``lib/api/terraform/state_protection_rules.rb`` (to list since 18.11, to
remove since 19.0, to make since 19.1; behind the feature flag ``protected_terraform_states``).
"""

import json

import msgspec

from migrator.backends.base import SEALING, Protection, ProtectionRule, Unprotected
from migrator.backends.gitlab_answer import Answer, LostReplyError, build_refusal
from migrator.backends.gitlab_lock import GitLabLock
from migrator.backends.gitlab_reader import decode_answer
from migrator.backends.retry import TransientError, retry_write
from migrator.errors import CredentialsRefusedError, MigratorError, UnknownOutcomeError

_NO_RULES = "this GitLab has no protection rules for states, or the feature is off"
_CANNOT_MAKE = "this GitLab cannot make protection rules by its API; 19.1 and newer can"
_MAY_NOT_READ = "the token may not read protection rules"
_MAY_NOT_MAKE = "the token may not make protection rules"


class _Rule(msgspec.Struct):
    id: int
    state_name: str
    minimum_access_level_for_write: str
    allowed_from: str


class GitLabProtection(GitLabLock):
    """The protection rules of a project's states (see ``StateSource``)."""

    _rules_known = True  # until this GitLab says that it has none

    def read_protection(self, name: str) -> Protection:
        """Return the rule that stands for ``name`` (see ``StateSource``)."""
        if not self._rules_known:
            return Protection(reason=_NO_RULES)
        answer = self._exchange.read(self._rules_path())
        if _is_unknown_route(answer):
            self._rules_known = False
            return Protection(reason=_NO_RULES)
        if answer.status == 403 and not answer.is_page:
            return Protection(reason=_MAY_NOT_READ, known=False)
        if answer.status != 200 or answer.is_page:
            raise build_refusal(answer)
        rules = decode_answer(answer, list[_Rule])
        return Protection(rule=next((_build_rule(rule) for rule in rules if rule.state_name == name), None))

    def protect_state(self, name: str) -> Protection:
        """Make a rule that seals ``name`` (see ``StateSource``)."""
        return retry_write(lambda: self._attempt_protect(name), policy=self._retry)

    def unprotect_state(self, name: str, rule_id: int) -> Unprotected:
        """Remove the rule that ``protect_state`` made (see ``StateSource``)."""
        return retry_write(lambda: self._attempt_unprotect(name, rule_id), policy=self._retry)

    def _attempt_protect(self, name: str) -> Protection:
        """Ask for the rule once; without a clear answer let GitLab say which rule it has."""
        level, allowed_from = SEALING
        rule = {"state_name": name, "minimum_access_level_for_write": level, "allowed_from": allowed_from}
        try:
            answer = self._exchange.write("POST", self._rules_path(), body=json.dumps(rule).encode())
        except LostReplyError as error:
            return self._settle_protect(name, error)
        if answer.status >= 500:
            return self._settle_protect(name, build_refusal(answer))
        if answer.is_page or answer.status not in {201, 400, 403, 404, 405, 409, 422}:
            raise build_refusal(answer)
        if answer.status == 201:
            return Protection(rule=_build_rule(decode_answer(answer, _Rule)))
        if answer.status == 403:
            return Protection(reason=_MAY_NOT_MAKE)
        if answer.status == 405 or _is_unknown_route(answer):
            return Protection(reason=_CANNOT_MAKE)
        found = self.read_protection(name)  # a state has one rule at most
        return found if found.rule else Protection(reason=f"GitLab refuses the rule: {answer.message}")

    def _settle_protect(self, name: str, doubt: MigratorError) -> Protection:
        found = self.read_protection(name)
        if found.rule or found.reason:
            return found
        raise TransientError(
            UnknownOutcomeError(
                doubt.message,
                where=doubt.where,
                now=f"no protection rule stands for {name} yet; the lost request may still make one",
                hint="run the command again: it looks at the rules first",
            )
        )

    def _attempt_unprotect(self, name: str, rule_id: int) -> Unprotected:
        found = self.read_protection(name)
        if found.reason == _NO_RULES:
            return Unprotected.SWITCHED_OFF
        if not found.known:
            raise CredentialsRefusedError(
                found.reason,
                where=f"GET {self._rules_path()}",
                hint="use a token with the scope api of somebody with the role Maintainer",
            )
        if found.rule is None or found.rule.id != rule_id:
            return Unprotected.ABSENT
        if not found.rule.is_as_made:
            return Unprotected.CHANGED
        try:
            answer = self._exchange.write("DELETE", f"{self._rules_path()}/{rule_id}", body=b"")
        except LostReplyError as error:
            raise TransientError(error) from error
        if answer.status >= 500:
            raise TransientError(build_refusal(answer))
        if answer.status == 204:
            return Unprotected.REMOVED
        if answer.status == 404 and not answer.is_page:
            return Unprotected.ABSENT
        raise build_refusal(answer)

    def _rules_path(self) -> str:
        return f"{self._project_path()}/terraform/state_protection_rules"


def _is_unknown_route(answer: Answer) -> bool:
    """Whether this is the 404 of a GitLab without the feature, not that of a project that cannot be seen."""
    return answer.status == 404 and not answer.is_page and "Project" not in answer.message


def _build_rule(rule: _Rule) -> ProtectionRule:
    return ProtectionRule(id=rule.id, level=rule.minimum_access_level_for_write, allowed_from=rule.allowed_from)
