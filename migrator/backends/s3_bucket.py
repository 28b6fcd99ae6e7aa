"""One bucket. A method is one request, but for listings, which take one per page. Knows S3, nothing of states and locks.

Invariants: botocore never repeats a request (``total_max_attempts=1``): a conditional write that was repeated after a
lost reply is refused by its own first attempt. Reads are repeated here, a bounded number of times. Absence is believed
only on S3's own ``NoSuchKey``, presence only with an ETag, a listing only with its end, so that no proxy's page can pass
for any of them. Safe for any number of threads: one client, one pool of connections.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from migrator.backends.base import Head, Presence, WriteToken
from migrator.backends.retry import RetryPolicy, TransientError, retry_call
from migrator.backends.s3_errors import Failure, build_failure, build_page_failure
from migrator.errors import BackendError, ConfigurationError, MigratorError
from migrator.redact import Redactor

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_FAILURES = (ClientError, BotoCoreError, ResponseParserError, OSError)
_PAGE = 1000  # keys, the most that S3 gives at once
_LEAST_POOL = 8  # the probe's race needs as many connections


class Outcome(StrEnum):
    """What the store made of a conditional write."""

    DONE = "done"
    REFUSED = "refused"  # the condition does not hold (412), or a concurrent write won (409)
    IN_DOUBT = "in-doubt"  # no usable answer: it may have taken effect
    UNSUPPORTED = "unsupported"  # 501: the store does not know the condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One conditional write: its outcome, the token of what was written, and the error unless it is done."""

    outcome: Outcome
    token: WriteToken | None = None
    error: MigratorError | None = None


class Bucket:
    """A bucket of an S3 store.

    Without ``access_key`` the credentials are those of ``profile`` or of botocore's own search.

    Raises: ConfigurationError when the settings cannot be used.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        region: str,
        path_style: bool,
        access_key: str | None,
        secret_key: str | None,
        session_token: str | None,
        ca_bundle: str | None,
        profile: str | None,
        workers: int,
        retry: RetryPolicy,
    ) -> None:
        self.name = bucket
        self.endpoint = endpoint.rstrip("/")
        self.retry = retry
        _check_endpoint(self.endpoint, ca_bundle)
        configuration = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if path_style else "virtual"},
            # Checksums in trailers, botocore's default over TLS, are refused by many stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=max(workers, _LEAST_POOL),
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            parameter_validation=False,  # our parameters are typed; validation would cost on each request
        )
        try:
            session = boto3.session.Session(
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                aws_session_token=session_token,
                region_name=region,
                profile_name=profile,
            )
            self._client: Any = session.client(
                "s3", endpoint_url=self.endpoint, config=configuration, verify=ca_bundle or None
            )
            self._credentials: Any = session.get_credentials()
            self._client.meta.events.register("before-sign.s3.PutObject", _drop_expectation)
            self._client.meta.events.register("before-call.s3", _forbid_redirect)
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"the S3 client cannot be set up: {error}", hint="check [target]") from error

    def where(self, method: str, key: str) -> str:
        """Return the name of a request for messages."""
        return f"{method} s3://{self.name}/{key} at {self.endpoint}"

    def read(self, key: str, *, most: int | None = None) -> Head:
        """Return the object at ``key``, of a longer one than ``most`` its first ``most`` + 1 bytes; repeated after
        transient failures.
        """
        return retry_call(lambda: self._attempt_read(key, most), policy=self.retry)

    def list_keys(self, prefix: str, *, page_size: int = _PAGE) -> list[str]:
        """Return every key that begins with ``prefix``, sorted; each page is repeated after transient failures.

        Keys that end in "/" are left out: consoles make them to show a directory.

        Raises: BackendError when the store's pages are not a whole listing.
        """
        keys: list[str] = []
        token: str | None = None
        while True:
            page = retry_call(partial(self._attempt_list, prefix, token, page_size), policy=self.retry)
            keys += [entry["Key"] for entry in page.get("Contents", [])]
            if not page["IsTruncated"]:
                return sorted(key for key in keys if not key.endswith("/"))
            token = page["NextContinuationToken"]

    def read_listed_etag(self, key: str) -> str | None:
        """Return the ETag that the listing shows for ``key``, without quotes; None when it shows no such key."""
        page = retry_call(partial(self._attempt_list, key, None, 1), policy=self.retry)
        found = (entry for entry in page.get("Contents", []) if entry["Key"] == key)
        return next((str(entry["ETag"]).strip('"') for entry in found), None)

    def create(self, key: str, data: bytes) -> Attempt:
        """Put the object if the key is free, one attempt."""
        # The headers that OpenTofu sends too; a store that knows them refuses bytes that were damaged on the way.
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return self._attempt_write(
            "PUT",
            key,
            lambda: self._client.put_object(
                Bucket=self.name,
                Key=key,
                Body=data,
                ContentType="application/json",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                IfNoneMatch="*",
            ),
        )

    def delete(self, key: str, *, etag: str | None = None) -> Attempt:
        """Delete the object, with ``etag`` only if it is still that one (where the store obeys), one attempt.

        On a versioned bucket this leaves a delete marker; versions are never deleted.
        """
        condition: dict[str, Any] = {} if etag is None else {"IfMatch": etag}
        return self._attempt_write(
            "DELETE", key, lambda: self._client.delete_object(Bucket=self.name, Key=key, **condition)
        )

    def read_versioning(self) -> str:
        """Return "enabled", "suspended" or "off"; "unknown" where the store or its policy does not say."""
        try:
            answer = self._client.get_bucket_versioning(Bucket=self.name)
        except ClientError:
            return "unknown"
        except _FAILURES as error:
            raise self._build_failure(error, "GET", "?versioning").error from error
        return str(answer.get("Status", "off")).lower()

    def _attempt_read(self, key: str, most: int | None) -> Head:
        try:
            # A store that keeps checksums tells them then, and botocore compares: bits flip on the way, too.
            answer = self._client.get_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
            data = answer["Body"].read() if most is None else _read_part(answer["Body"], most + 1)
        except _FAILURES as error:
            failure = self._build_failure(error, "GET", key)
            if failure.status == 404 and failure.code == "NoSuchKey":
                return Head(presence=Presence.ABSENT)
            raise _build_read_error(failure) from error
        token = _find_token(answer)
        if token is None:
            raise TransientError(build_page_failure(self.where("GET", key)).error)
        return Head(presence=Presence.PRESENT if data else Presence.EMPTY, data=data, token=token)

    def _attempt_list(self, prefix: str, token: str | None, page_size: int) -> Any:
        after = {} if token is None else {"ContinuationToken": token}
        try:
            page = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=page_size, **after)
        except _FAILURES as error:
            raise _build_read_error(self._build_failure(error, "GET", f"{prefix}*")) from error
        following = page.get("NextContinuationToken")
        whole = page.get("IsTruncated") is False or (page.get("IsTruncated") and following not in {None, "", token})
        if not whole or not all(entry["Key"].startswith(prefix) for entry in page.get("Contents", [])):
            raise TransientError(
                BackendError(
                    "the answer is not a listing that can be followed to its end (is it an S3 store's?)",
                    where=self.where("GET", f"{prefix}*"),
                    hint="check target.endpoint in migrator.toml",
                )
            )
        return page

    def _attempt_write(self, method: str, key: str, send: Callable[[], Any]) -> Attempt:
        try:
            answer = send()
        except _FAILURES as error:
            failure = self._build_failure(error, method, key)
            if failure.status in {409, 412} or (method == "DELETE" and failure.code == "NoSuchKey"):
                return Attempt(outcome=Outcome.REFUSED, error=failure.error)
            if failure.status == 501:
                return Attempt(outcome=Outcome.UNSUPPORTED, error=failure.error)
            if failure.in_doubt:
                return Attempt(outcome=Outcome.IN_DOUBT, error=failure.error)
            raise failure.error from error
        token = None if method == "DELETE" else _find_token(answer)
        if _is_page(answer) if method == "DELETE" else token is None:
            return Attempt(outcome=Outcome.IN_DOUBT, error=build_page_failure(self.where(method, key)).error)
        return Attempt(outcome=Outcome.DONE, token=token)

    def _build_failure(self, error: Exception, method: str, key: str) -> Failure:
        return build_failure(
            error, where=self.where(method, key), endpoint=self.endpoint, redact=Redactor(self._read_secrets())
        )

    def _read_secrets(self) -> Sequence[str | None]:
        """Return what must not be shown: the credentials in use. Those of a profile may have been renewed since."""
        try:
            frozen = self._credentials.get_frozen_credentials() if self._credentials else None
        except (BotoCoreError, ClientError):  # they could not be had: then nothing was signed with them
            return ()
        return (frozen.access_key, frozen.secret_key, frozen.token) if frozen else ()


def _build_read_error(failure: Failure) -> Exception:
    return TransientError(failure.error) if failure.in_doubt or failure.status == 429 else failure.error


def _read_part(body: Any, size: int) -> bytes:
    """Return the first ``size`` bytes of a body; what is longer is not read to its end, and its connection is given up."""
    parts: list[bytes] = []
    while size and (part := body.read(size)):
        parts.append(part)
        size -= len(part)
    if not size:
        body.close()
    return b"".join(parts)


def _find_token(answer: Any) -> WriteToken | None:
    """Return what identifies the object of an answer, None for an answer that is not one of a store."""
    etag = answer.get("ETag")
    version = answer.get("VersionId")
    return WriteToken(etag=etag, version_id=None if version in {None, "null"} else version) if etag else None


def _is_page(answer: Any) -> bool:
    """Whether a DELETE, which a store answers without a body, was answered by somebody else."""
    metadata = answer["ResponseMetadata"]
    return bool(metadata["HTTPStatusCode"] != 204 and metadata["HTTPHeaders"].get("content-length", "0") != "0")


def _forbid_redirect(context: dict[str, Any], **_: Any) -> None:
    """Mark the request as redirected already: botocore asks for the bucket's region otherwise, without end where the
    answer to that is a redirect too.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


def _drop_expectation(request: Any, **_: Any) -> None:
    """Take away ``Expect: 100-continue``, which botocore sends with every body: one round trip more for each write."""
    del request.headers["Expect"]


def _check_endpoint(endpoint: str, ca_bundle: str | None) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError(
            "target.endpoint must be http(s)://host[:port] without user and query", hint="correct it in migrator.toml"
        )
    if ca_bundle and not Path(ca_bundle).exists():
        raise ConfigurationError(f"the CA bundle {ca_bundle} does not exist", hint="correct target.ca_bundle")
