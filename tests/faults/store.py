"""Faults of an S3-compatible store, and of what stands between us and it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.faults.bench import Bench
from tests.faults.forward import forward_when_the_object_is_back
from tests.faults.model import AGAIN, Ends, Expected, Fault, forward_after_somebody
from tests.faults.strikes import BySomebody, OnTheWire, Standing
from tests.support.fault_proxy import Effect

Both = Mapping[str, Expected]

COMPLETES: Both = {"migrate": {"*": 0}, "rollback": {"*": 0}}
STOPS: Both = {"migrate": {"look/*": 6, "*": 5}, "rollback": {"look/*": 6, "*": 5}}
WRITES: Both = {"migrate": {"*": 0}, "rollback": {"*": 0}}
PAGE = b"<!DOCTYPE html><html><body>Console</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
XML = {"Content-Type": "application/xml"}
BACK = "migrator rollback"
VERIFY = Ends(0, "migrator verify")  # after the last look nobody can know; verify does
UNSAFE = Ends(4, "migrator probe")
CHECKSUMS = ("x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-type")
# A letter of a state's secret value, or of a lock's ID: what is left is as well-formed as before.
LETTER = rb'canary|"ID": ?"[^"]'


def wire(effect: Effect, **more: Any) -> OnTheWire:
    return OnTheWire(side="store", effect=effect, **more)


def answer(status: int, code: str, headers: Mapping[str, str] = XML) -> OnTheWire:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told by a test</Message></Error>".encode()
    return wire(Effect.ANSWER, more={"status": status, "headers": headers, "body": body})


def page(status: int) -> OnTheWire:
    return wire(Effect.ANSWER, more={"status": status, "headers": HTML, "body": PAGE})


FAULTS_OF_STORES = (
    Fault(
        name="lost-answer",
        title="a write is committed, and the connection closes: the next attempt meets 412, against our own write",
        strike=wire(Effect.COMMIT_THEN_DROP, method="PUT|DELETE"),
        once=COMPLETES,
        # Looking settles every write; that whoever comes second is refused can only be answered.
        lasting={**COMPLETES, "migrate": {"captured/PUT tflock*": 5, "*": 0}},
    ),
    Fault(
        name="no-answer",
        title="the connection closes before a request reaches the store",
        strike=wire(Effect.DROP),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="slow-down",
        title="503 SlowDown",
        strike=answer(503, "SlowDown"),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="clock-skew",
        title="the clocks differ: 403 RequestTimeTooSkewed",
        strike=answer(403, "RequestTimeTooSkewed"),
        lasting=STOPS,
    ),
    Fault(
        name="expired",
        title="the credentials expire half-way: 403 ExpiredToken",
        strike=answer(403, "ExpiredToken"),
        once=STOPS,
        lasting=STOPS,
    ),
    Fault(
        name="key-unknown",
        title="the access key is withdrawn half-way: 403 InvalidAccessKeyId",
        strike=answer(403, "InvalidAccessKeyId"),
        lasting=STOPS,
    ),
    Fault(
        name="truncated",
        title="the body of an answer is cut short",
        strike=wire(Effect.TRUNCATE, method="GET"),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="wrong-bytes",
        title="one bit of what is read back is another one",
        strike=wire(Effect.FLIP, method="GET", answered=(200,), more={"find": LETTER}),
        once=COMPLETES,
        lasting={"migrate": {"*": 5}, "rollback": {"look/*": 6, "*": 5}},
        note="the store tells the checksum of what it keeps, and what arrives is compared",
    ),
    Fault(
        name="wrong-bytes-no-checksum",
        title="one bit of what is read back is another one, and the store tells no checksum",
        strike=wire(Effect.FLIP, method="GET", answered=(200,), more={"find": LETTER, "hide": CHECKSUMS}),
        once={
            "migrate": {"captured/*": 0, "checked/GET object": 3, "migrated/GET tflock 2": 5, "*": Ends(5, BACK)},
            "rollback": {"look/GET object*": 0, "lock/GET tflock": 0, "carry/GET object 3": 0, "*": 5},
        },
        note="for good, the other bytes are what the store holds, as far as anybody can know",
    ),
    Fault(
        name="stale",
        title="a read is answered as before the last write (a cache)",
        strike=wire(Effect.STALE, method="GET"),
        once={
            "migrate": {"captured/*": 0, "checked/GET object": 3, "migrated/GET tflock 2": 5, "*": Ends(5, BACK)},
            "rollback": {
                "look/*": 0,
                "lock/GET tflock": 0,
                "carry/GET object 3": 0,
                "release/GET tflock": 0,
                "*": 5,
            },
        },
        lasting={
            "migrate": {"c[ah]*/GET *": 3, "migrated/GET tflock 2": 5, "*": Ends(5, BACK)},
            "rollback": {"*": 5},
        },
        forward=forward_after_somebody,
    ),
    Fault(
        name="unconditional",
        title="the condition of a write is ignored (a proxy drops If-None-Match and If-Match)",
        strike=wire(Effect.PASS, method="PUT|DELETE", more={"strip": ("If-None-Match", "If-Match")}),
        once={"migrate": {"captured/PUT tflock 2": UNSAFE, "*": 0}, "rollback": {"*": 0}},
        lasting={"migrate": {"captured/PUT tflock*": UNSAFE, "*": 0}, "rollback": {"*": 0}},
        note="`migrate` asks its first lock; what is written after that is written under locks that everybody saw",
    ),
    Fault(
        name="redirect-301",
        title="301 to another address",
        strike=answer(301, "PermanentRedirect", {**XML, "Location": "http://127.0.0.1:9/elsewhere"}),
        lasting=STOPS,
    ),
    Fault(
        name="redirect-307",
        title="307 to another address",
        strike=answer(307, "TemporaryRedirect", {**XML, "Location": "http://127.0.0.1:9/elsewhere"}),
        lasting=STOPS,
    ),
    Fault(
        name="page-200",
        title="a proxy answers with a web page and 200",
        strike=page(200),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="page-502",
        title="a proxy answers with a web page and 502",
        strike=page(502),
        once=COMPLETES,
        lasting=STOPS,
    ),
)

TLS = (
    Fault(
        name="tls-garbage",
        title="the handshake of TLS meets something that does not speak it",
        strike=wire(Effect.GARBAGE),
        setting="tls",
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="tls-strange",
        title="the certificate is somebody else's from here on",
        strike=wire(Effect.STRANGE_CERTIFICATE),
        setting="tls",
        lasting=STOPS,
    ),
    Fault(
        name="tls-breaks",
        title="a request is committed, and the answer is no TLS any more",
        strike=wire(Effect.COMMIT_THEN_GARBAGE),
        setting="tls",
        once=COMPLETES,
        lasting=STOPS,
    ),
)


MIRRORED = {"lost-answer", "no-answer", "expired", "wrong-bytes-no-checksum", "stale", "page-200"}
# On the way forward nothing is attempted that is not mirrored; the way back is not held up by its mirror, and neither is the end.
MIRROR_LASTING: Both = {
    "migrate": {"end/*": 0, "*": 5},
    "rollback": {"look/*": 6, "end/*": 0, "*": 5},
}
MIRROR_EXPIRED: Expected = {"captured/*": 6, "end/*": 0, "*": 5}
DAMAGED = Ends(3, AGAIN)


SOMEBODY = (
    Fault(
        name="delete-marker",
        title="a versioned bucket, with a delete marker on the key of the state and on that of its lock",
        strike=Standing(),
        setting="versioned",
        lasting=COMPLETES,
    ),
    Fault(
        name="object-deleted",
        title="somebody deletes our object in a versioned bucket: a delete marker stands on its key",
        strike=BySomebody(
            side="store",
            deed=Bench.delete_object,
            only="checked/GET|cut-over/|migrated/|rollback (look|lock|carry|release)/",
        ),
        setting="versioned",
        once={
            "migrate": {
                "checked/*": 3,
                "migrated/GET tflock 2": VERIFY,
                "migrated/DELETE tflock": VERIFY,
                "*": Ends(5, BACK),
            },
            "rollback": {
                "look/GET object 2": 5,
                "look/*": Ends(4, AGAIN),
                "carry/GET object 3": 0,
                "release/*": 0,
                "*": 5,
            },
        },
        forward=forward_when_the_object_is_back,
    ),
)


def at_mirror(fault: Fault) -> Fault:
    """The same fault at the requests of the mirror."""
    once, lasting = {
        "lost-answer": (COMPLETES, {}),
        "no-answer": (COMPLETES, MIRROR_LASTING),
        "expired": ({}, {**MIRROR_LASTING, "migrate": MIRROR_EXPIRED}),
        "wrong-bytes-no-checksum": ({"migrate": {"*": 0}, "rollback": {"look/*": DAMAGED, "*": 0}}, {}),
        "stale": ({"migrate": {"*": 0}, "rollback": {"look/*": DAMAGED, "*": 0}}, {}),
        "page-200": (COMPLETES, {}),
    }[fault.name]
    return replace(
        fault,
        name=f"{fault.name}-mirror",
        setting="mirrored",
        strike=replace(fault.strike, only="mirror" if fault.name.startswith("wrong") else "mirror|list"),
        once=once,
        lasting=lasting,
    )


FAULTS = (
    *FAULTS_OF_STORES,
    *TLS,
    *SOMEBODY,
    *(at_mirror(fault) for fault in FAULTS_OF_STORES if fault.name in MIRRORED),
)
