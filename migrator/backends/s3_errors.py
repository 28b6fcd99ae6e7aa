"""What an S3 store's refusals mean for a user: botocore's errors to ours. Pure: sends nothing.

Codes are those of the S3 API's error responses, plus what stand-alone stores answer instead. Invariant: no text built
here holds a key, a signature or a query string.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore import exceptions as botocore_errors
from botocore.parsers import ResponseParserError

from migrator.errors import BackendError, BackendUnreachableError, CredentialsRefusedError, MigratorError

_RUN_AGAIN = "run the command again"
_CHECK_ENDPOINT = "check target.endpoint in migrator.toml"


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: type[MigratorError]
    message: str
    hint: str


_KEY_UNKNOWN = _Meaning(
    CredentialsRefusedError,
    "the store does not know this access key",
    "check the variable that target.access_key_env names, and that it belongs to this endpoint",
)
_EXPIRED = _Meaning(
    CredentialsRefusedError, "the session credentials have expired", "get new ones, export them and run it again"
)
_SIGNATURE = _Meaning(
    CredentialsRefusedError,
    "the signature does not match",
    "check the secret key, target.region, and that no proxy rewrites the Host header or the path",
)
_SKEWED = _Meaning(
    CredentialsRefusedError,
    "the clock of this machine and that of the store differ by more than the store accepts",
    "set the clock (`timedatectl`), then run it again",
)
_DENIED = _Meaning(
    CredentialsRefusedError,
    "access denied",
    "the policy of this key must allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject "
    "on its objects",
)
_ELSEWHERE = _Meaning(
    BackendError,
    "the bucket lives in another region or under another address",
    "correct target.region or target.endpoint in migrator.toml",
)
_BUSY = _Meaning(BackendUnreachableError, "the store asks to slow down", "wait a minute, then run it again")
_UNIMPLEMENTED = _Meaning(
    BackendError, "the store does not implement this request", "migrator probe tells what the store can do"
)
_NO_STORE = _Meaning(
    BackendError, "the answer is not one of an S3 store (a web page of a proxy or a console?)", _CHECK_ENDPOINT
)
_DAMAGED = _Meaning(BackendError, "the store received other bytes than were sent", _RUN_AGAIN)

_MEANINGS: Mapping[str, _Meaning] = {
    "NoSuchBucket": _Meaning(
        BackendError, "the bucket does not exist", "create it, or correct target.bucket in migrator.toml"
    ),
    "InvalidBucketName": _Meaning(BackendError, "the store does not accept this bucket name", "correct target.bucket"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "InvalidAccessKeyId": _KEY_UNKNOWN,
    "XAdminUserNotFound": _KEY_UNKNOWN,  # versitygw 1.8
    "InvalidToken": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "SignatureDoesNotMatch": _SIGNATURE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "RequestTimeTooSkewed": _SKEWED,
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "SlowDown": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "ServiceUnavailable": _BUSY,
    "NotImplemented": _UNIMPLEMENTED,
    "BadDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "EntityTooLarge": _Meaning(
        BackendError, "the document is larger than the store accepts", "raise the limit of the store or of its proxy"
    ),
}
_MEANINGS_BY_STATUS: Mapping[int, _Meaning] = {
    401: _DENIED,
    403: _DENIED,
    301: _ELSEWHERE,
    302: _ELSEWHERE,
    307: _ELSEWHERE,
    308: _ELSEWHERE,
    429: _BUSY,
    501: _UNIMPLEMENTED,
    503: _BUSY,
}

# The request cannot have reached the store.
_UNSENT = (
    botocore_errors.EndpointConnectionError,
    botocore_errors.ConnectTimeoutError,
    botocore_errors.ProxyConnectionError,
)
_UNTRUSTED = "certificate"  # in the text of a TLS error that ended the handshake; others can come after the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that failed. ``status`` is 0 without an answer, ``code`` is S3's; ``in_doubt``: it may have had effect."""

    status: int
    code: str
    in_doubt: bool
    error: MigratorError


def build_failure(error: Exception, *, where: str, endpoint: str, redact: Callable[[str], str]) -> Failure:
    """Return what a botocore error means. ``where`` names the request, ``endpoint`` the store.

    ``redact`` strikes the credentials from the store's own words: SignatureDoesNotMatch, for one, names the access key.
    """
    if isinstance(error, botocore_errors.ClientError):
        return _build_answered_failure(error, where=where, redact=redact)
    if isinstance(error, ResponseParserError):
        return build_page_failure(where)
    if isinstance(error, botocore_errors.NoCredentialsError | botocore_errors.PartialCredentialsError):
        missing = CredentialsRefusedError(
            "there are no credentials for the store",
            where=where,
            hint="export the variables that target.access_key_env and target.secret_key_env name",
        )
        return Failure(status=0, code="", in_doubt=False, error=missing)
    message, hint = _describe_transport(error, endpoint)
    unreachable = BackendUnreachableError(message, where=where, hint=hint)
    return Failure(status=0, code="", in_doubt=not _is_unsent(error), error=unreachable)


def build_page_failure(where: str) -> Failure:
    """Return the failure of a request that somebody answered who is no S3 store: a proxy, a console."""
    page = _NO_STORE.kind(_NO_STORE.message, where=where, hint=_NO_STORE.hint)
    return Failure(status=0, code="", in_doubt=True, error=page)


def _is_unsent(error: Exception) -> bool:
    untrusted = isinstance(error, botocore_errors.SSLError) and _UNTRUSTED in str(error).casefold()
    return untrusted or isinstance(error, _UNSENT)


def _build_answered_failure(error: botocore_errors.ClientError, *, where: str, redact: Callable[[str], str]) -> Failure:
    response: Mapping[str, Any] = error.response
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", ""))
    said = redact(" ".join(str(response.get("Error", {}).get("Message", "")).split()))[:160]
    meaning = _MEANINGS.get(code) or _MEANINGS_BY_STATUS.get(status)
    if meaning is None and status < 500 and not code.isalpha():  # botocore puts the status where no code was found
        meaning = _NO_STORE
    if meaning is None and status >= 500:
        meaning = _Meaning(BackendUnreachableError, f"the store fails ({said or 'no reason given'})", _RUN_AGAIN)
    if meaning is None:
        meaning = _Meaning(BackendError, f"the store refuses ({said or 'no reason given'})", "migrator probe")
    text = f"{meaning.message}: HTTP {status}" + (f" {redact(code)[:60]}" if code and not code.isdigit() else "")
    # What no store says is no answer: the request may have reached one all the same.
    in_doubt = (status >= 500 and status != 501) or meaning is _NO_STORE
    return Failure(
        status=status, code=code, in_doubt=in_doubt, error=meaning.kind(text, where=where, hint=meaning.hint)
    )


def _describe_transport(error: Exception, endpoint: str) -> tuple[str, str]:
    if isinstance(error, botocore_errors.FlexibleChecksumError):
        return ("what arrived is not what the store sent: its checksum is another one", _RUN_AGAIN)
    if isinstance(error, botocore_errors.SSLError):
        return (
            f"no TLS connection to {endpoint}: the certificate is not trusted or the server does not speak TLS",
            "set target.ca_bundle to the certificate authority of the store, or correct http/https in target.endpoint",
        )
    if isinstance(error, botocore_errors.ProxyConnectionError):
        return ("the proxy cannot be reached or refuses", "check HTTPS_PROXY and NO_PROXY")
    if isinstance(error, botocore_errors.EndpointConnectionError | botocore_errors.ConnectTimeoutError):
        return (f"no connection to {endpoint}", f"{_CHECK_ENDPOINT}, and that the store runs")
    if isinstance(error, botocore_errors.ReadTimeoutError):
        return (f"no answer in time from {endpoint}", _RUN_AGAIN)
    return (f"the connection to {endpoint} broke before the answer", _RUN_AGAIN)
