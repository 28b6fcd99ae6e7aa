"""GitLab's lock of one state, in the protocol of OpenTofu's ``http`` backend (lock POST, unlock DELETE on ``/lock``).

Invariants: never unlocks without an ID (that would force); never locks or unlocks a name that was neither listed nor
read (that would create one); a 409 that names our own ID means that we hold the lock, so repeating a lock request is
safe. GitLab keeps of a lock only ID, user and time (``lib/api/terraform/state.rb``, ``remote_state_handler.rb``).
"""

import json

from migrator.backends.base import Released
from migrator.backends.gitlab_answer import Answer, Exchange, LostReplyError, build_refusal
from migrator.backends.gitlab_reader import GitLabReader
from migrator.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info
from migrator.backends.retry import RetryPolicy, TransientError, retry_call, retry_write
from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    ForeignLockError,
    InternalError,
    UnknownOutcomeError,
)


class GitLabLock(GitLabReader):
    """``StateLock`` on GitLab."""

    def __init__(self, exchange: Exchange, *, project: int | str, retry: RetryPolicy) -> None:
        super().__init__(exchange, project=project)
        self._retry = retry

    def acquire_lock(self, unit: str, info: LockInfo) -> LockInfo:
        """Hold the lock with ``info.id`` (see ``StateLock``)."""
        check_lock_id(info.id)
        if not self._has_row(unit):
            raise BackendError(
                f"GitLab has no state named {unit!r}; locking it would create one",
                where=f"POST {self._lock_path(unit)}",
                now="nothing was locked",
                hint="migrator plan",
            )
        holder = retry_write(lambda: self._request_lock(unit, info), policy=self._retry)
        if holder.id != info.id:
            raise ForeignLockError(
                f"the state {unit} is locked by {holder.describe()}",
                where=f"POST {self._lock_path(unit)}",
                now="nothing was changed",
                hint="wait until it is released (a seal: by the run that made it), or release it there (`tofu force-unlock`) if its "
                "operation is dead",
            )
        return holder

    def read_lock(self, unit: str, own_id: str) -> LockInfo | None:
        """Return who holds the lock (see ``StateLock``).

        GraphQL says whether it is held, never with which ID. If held, a lock request with ``own_id`` is answered 409
        with the holder's ID and changes nothing; should the lock have been freed in between and the request be granted,
        it is given back at once. With an empty ``own_id`` nothing is requested and ``id`` stays "".
        """
        listed = self._read_listed_state(unit)
        if listed is None or not listed.locked:
            return None
        seen = LockInfo(id="", who=listed.locked_by or "", created=listed.locked_at or "")
        if not own_id or listed.deleted:
            return seen
        answer = retry_call(lambda: self._look_with(unit, own_id, seen.created), policy=self._retry)
        holder = None if answer.is_page else decode_lock_info(answer.body)
        if answer.status == 200 and holder and holder.id == own_id:
            # A 200 of anybody but GitLab must not get here: our own lock would be given back.
            self.release_lock(unit, own_id)
            return None
        if answer.status == 409 and holder:
            return LockInfo(id=holder.id, who=holder.who, created=holder.created)  # the rest is what we sent
        if answer.is_row_conflict or answer.status >= 500:
            return seen  # GitLab answers 500 when the holder's account is gone
        raise build_refusal(answer)

    def release_lock(self, unit: str, lock_id: str) -> Released:
        """Give back the lock if ``lock_id`` still holds it (see ``StateLock``)."""
        check_lock_id(lock_id)
        if not self._has_row(unit):
            return Released.NOT_HELD
        answer = retry_write(lambda: self._request_unlock(unit, lock_id), policy=self._retry)
        if answer.status == 200 and not answer.is_page:
            return Released.RELEASED
        if answer.status == 403 and self.read_lock(unit, "") is None:
            return Released.NOT_HELD  # whoever may not unlock may still see that there is nothing to unlock
        if answer.status != 409:
            raise build_refusal(answer)
        holder = self.read_lock(unit, lock_id)
        return Released.NOT_HELD if holder is None else Released.HELD_BY_OTHER

    def _lock_path(self, unit: str) -> str:
        return f"{self._state_path(unit)}/lock"

    def _send_lock(self, unit: str, info: LockInfo) -> Answer:
        return self._exchange.write("POST", self._lock_path(unit), body=encode_lock_info(info))

    def _send_unlock(self, unit: str, lock_id: str) -> Answer:
        return self._exchange.write("DELETE", self._lock_path(unit), body=json.dumps({"ID": lock_id}).encode())

    def _look_with(self, unit: str, own_id: str, created: str) -> Answer:
        try:
            return self._send_lock(unit, LockInfo(id=own_id, created=created))
        except LostReplyError as error:
            raise TransientError(error) from error

    def _request_lock(self, unit: str, info: LockInfo) -> LockInfo:
        """Return the holder after one lock request: us (granted now or before), or somebody else."""
        try:
            answer = self._send_lock(unit, info)
        except LostReplyError as error:
            raise TransientError(_build_doubt(error, unit, info.id)) from error
        holder = decode_lock_info(answer.body)
        if answer.status == 200 and not answer.is_page:
            return holder if holder and holder.id == info.id else info
        if answer.status == 409 and holder:
            return holder
        if answer.status in {409, 500, 502, 503, 504}:
            raise TransientError(build_refusal(answer))
        raise build_refusal(answer)

    def _request_unlock(self, unit: str, lock_id: str) -> Answer:
        """Return GitLab's word on one unlock request. Repeating it is safe: it takes effect for ``lock_id`` only."""
        try:
            answer = self._send_unlock(unit, lock_id)
        except LostReplyError as error:
            raise TransientError(_build_doubt(error, unit, lock_id)) from error
        if answer.is_row_conflict or answer.status >= 500:
            raise TransientError(build_refusal(answer))
        return answer


def _build_doubt(error: BackendUnreachableError, unit: str, lock_id: str) -> UnknownOutcomeError:
    return UnknownOutcomeError(
        error.message,
        where=error.where,
        now=f"the state {unit} may or may not be locked with our ID {lock_id}",
        hint="run the command again: it recognises its own lock",
    )


def check_lock_id(lock_id: str) -> None:
    """Raise InternalError when the ID is empty, which GitLab would take for no ID at all."""
    if not lock_id:  # GitLab takes an unlock without an ID as a forced one
        raise InternalError("a lock ID is empty", now="nothing was sent")
