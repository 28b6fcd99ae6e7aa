"""The exception tree: every error that a user can see, and nothing else.

Each class owns the exit code that the process ends with (``docs/exit-codes.md``). An error answers four questions: what
happened (``message``), where (``where``), what is true now (``now``) and what to type next (``hint``). No error text may
hold a secret or a byte of a state document. Printing is the business of ``report``.
"""


class MigratorError(Exception):
    """Base of every error that is shown to a user.

    ``message`` what happened; ``where`` file:line, state name, or method and path of the request; ``now`` what is true
    after the error; ``hint`` the next thing to type or to do.
    """

    exit_code = 1
    default_hint: str | None = None

    def __init__(
        self, message: str, *, where: str | None = None, now: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.now = now
        self.hint = hint if hint is not None else self.default_hint


class InternalError(MigratorError):
    """A bug in this program."""

    default_hint = "run the command again with -v and report the traceback"


class UsageError(MigratorError):
    """The command line asks for something that does not exist or does not fit together; nothing was touched."""

    exit_code = 2


class NoRunError(UsageError):
    """No run is found where it was looked for; ``where`` names every place."""


class ConfigurationError(UsageError):
    """``migrator.toml``, an environment variable or an input file is missing or cannot be understood."""


class CheckFailedError(MigratorError):
    """A check ran and says no."""

    exit_code = 3


class InvalidStateError(CheckFailedError):
    """Bytes that should be a state document are not one."""


class StalePlanError(CheckFailedError):
    """The world or the repository is no longer what the plan was made from."""

    default_hint = "migrator plan"


class JournalError(CheckFailedError):
    """A journal or blob does not hold what it must: its hash chain or its digest is broken."""


class JournalWriteError(JournalError):
    """A record or blob could not be made durable, so the run stopped there: nothing was attempted without a record."""

    exit_code = 5
    default_hint = "make room on the disk, or make it writable; then run the command again"


class RefusedError(MigratorError):
    """A safety rule forbids the effect; it was not attempted."""

    exit_code = 4


class ForeignLockError(RefusedError):
    """A state is locked by somebody else."""


class ForeignObjectError(RefusedError):
    """An object that we did not write stands where we would write or delete."""


class UnsafeTargetError(RefusedError):
    """The target ignores conditional writes, so its lock protects nothing."""


class StoppedError(MigratorError):
    """The run stopped part-way; its journal is intact and running the command again resumes."""

    exit_code = 5


class InterruptedRunError(StoppedError):
    """The operator interrupted the run after the journal was made durable."""

    exit_code = 130


class BackendError(MigratorError):
    """A backend cannot be reached, refuses the credentials, or answers what its protocol does not allow."""

    exit_code = 6


class BackendUnreachableError(BackendError):
    """No answer: connection refused, TLS failure, timeout, or 5xx after the retries that are safe."""


class CredentialsRefusedError(BackendError):
    """401 or 403: the credentials are missing, expired or too weak."""


class UnknownOutcomeError(BackendError):
    """A write got no usable answer and reading back could not settle whether it took effect."""
