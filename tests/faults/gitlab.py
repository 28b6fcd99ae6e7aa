"""Faults of GitLab: every mode of the stand-in, and what stands between us and GitLab."""

from collections.abc import Mapping
from dataclasses import replace

from migrator.standin import Fault as StandinFault
from tests.faults.bench import STATE, Bench
from tests.faults.forward import forward_when_restored, forward_with_a_new_plan
from tests.faults.model import AGAIN, Ends, Expected, Fault, forward_after_somebody
from tests.faults.strikes import AtGitLab, BySomebody, OnTheWire
from tests.support.fault_proxy import Effect
from tests.support.world import PROJECT

Both = Mapping[str, Expected]

COMPLETES: Both = {"migrate": {"*": 0}, "rollback": {"*": 0}}
# A refusal that looking again does not change: nothing was done yet, or the run stopped.
STOPS: Both = {"migrate": {"look/*": 6, "*": 5}, "rollback": {"look/*": 6, "*": 5}}
# ... and the first effect of a run being refused for the credentials means that nothing took place.
REFUSED: Both = {"migrate": {"look/*": 6, "captured/POST lock": 6, "*": 5}, "rollback": STOPS["rollback"]}
WRITES_REFUSED: Both = {"migrate": {"captured/*": 6, "*": 5}, "rollback": {"look/*": 6, "*": 5}}
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
PLAN = "migrator plan"


def page(status: int) -> OnTheWire:
    return OnTheWire(side="gitlab", effect=Effect.ANSWER, more={"status": status, "headers": HTML, "body": PAGE})


def _write_next(bench: Bench) -> None:
    bench.standin.store.write_as_stranger(PROJECT, STATE)


def _delete(bench: Bench) -> None:
    bench.standin.store.unlock(PROJECT, STATE, lock_id=None)
    bench.standin.store.schedule_removal(PROJECT, STATE)
    bench.standin.arm(StandinFault(mode="e", times=None))


MODES = (
    Fault(
        name="a",
        title="(a) a version is committed, and the answer is 500",
        strike=AtGitLab(mode="a"),
        once={"rollback": {"carry/POST state": 0}},
        lasting={"rollback": {"carry/POST state": 0}},
    ),
    Fault(
        name="a-drop",
        title="(a) a version is committed, and the connection closes",
        strike=AtGitLab(mode="a", variant="drop"),
        once={"rollback": {"carry/POST state": 0}},
        lasting={"rollback": {"carry/POST state": 0}},
    ),
    Fault(
        name="b",
        title="(b) a lock is granted, and the connection closes",
        strike=AtGitLab(mode="b"),
        once={"migrate": {"captured/POST lock": 0}},
        lasting={"migrate": {"captured/POST lock": 0}},
    ),
    Fault(
        name="c",
        title="(c) a state is served without its document: 204",
        strike=AtGitLab(mode="c"),
        once={
            "migrate": {"captured/*": Ends(3, PLAN), "checked/*": 3, "*": Ends(5, "migrator rollback")},
            "rollback": {"look/*": Ends(4, AGAIN), "lock/GET state 2": 5, "carry/GET state [245]": 5, "*": 0},
        },
        lasting={
            "migrate": {"captured/*": Ends(3, PLAN), "checked/*": 3, "*": Ends(5, "migrator rollback")},
            "rollback": {"look/*": Ends(4, AGAIN), "release/*": 0, "*": 5},
        },
    ),
    Fault(
        name="d",
        title="(d) a locked state is deleted: 200, and nothing happens",
        strike=AtGitLab(mode="d"),
        note="cannot occur: no command sends a DELETE of a state",
    ),
    Fault(
        name="f",
        title="(f) 409 Resource lock, a database race that has nothing to do with locks",
        strike=AtGitLab(mode="f"),
        once=COMPLETES,
        lasting={"migrate": {"captured/*": 5, "*": 0}, "rollback": {"*": 5}},
        note="who only looks at the lock recognises its own by user and time",
    ),
    Fault(
        name="g",
        title="(g) 429 Retry later",
        strike=AtGitLab(mode="g"),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="h",
        title="(h) 413 before authentication",
        strike=AtGitLab(mode="h"),
        once={"rollback": {"carry/POST state": 5}},
        lasting={"rollback": {"carry/POST state": 5}},
    ),
    Fault(
        name="i",
        title="(i) the token has expired: 401",
        strike=AtGitLab(mode="i"),
        once=REFUSED,
        lasting=REFUSED,
    ),
    Fault(
        name="j",
        title="(j) a protection rule of somebody else: 403",
        strike=AtGitLab(mode="j"),
        once=WRITES_REFUSED,
        lasting=WRITES_REFUSED,
    ),
    Fault(
        name="k",
        title="(k) a maintainer forces our lock open just before we write",
        strike=AtGitLab(mode="k"),
        once={"rollback": {"carry/POST state": 5}},
        lasting={"rollback": {"carry/POST state": 5}},
        forward=forward_after_somebody,
    ),
    Fault(
        name="n",
        title="(n) an older GraphQL without `versions` and `protectionRuleExists`",
        strike=AtGitLab(mode="n"),
        lasting=COMPLETES,
    ),
    Fault(
        name="m",
        title="(m) the project was moved: 301 to reads and 405 to writes by its path",
        strike=AtGitLab(mode="m"),
        setting="by path",
        lasting=COMPLETES,
        note="a plan pins the numeric id, so that only the first request could ever go by the path",
    ),
)

BACK = "migrator rollback"
SOMEBODY = (
    Fault(
        name="e",
        title="(e) somebody forces our lock open and deletes the state: 422 until it is restored",
        strike=BySomebody(side="gitlab", deed=_delete),
        once={
            "migrate": {
                "look/*": Ends(3, PLAN),
                "cut-over/GET rule": Ends(5, BACK),
                "cut-over/POST graphql": Ends(5, BACK),
                "migrated/POST graphql": Ends(5, BACK),
                "*": 5,
            },
            "rollback": {"look/*": 6, "*": 5},
        },
        forward=forward_when_restored,
    ),
    Fault(
        name="l",
        title="(l) somebody writes the next serial before our lock is taken",
        strike=BySomebody(side="gitlab", deed=_write_next, only="migrate (look/|captured/POST lock)"),
        once={"migrate": {"*": Ends(3, PLAN)}},
        forward=forward_with_a_new_plan,
        note="after that the lock keeps everybody out who locks",
    ),
)

BETWEEN = (
    Fault(
        name="gitlab-lost-answer",
        title="a request reaches GitLab, and the connection closes before the answer",
        strike=OnTheWire(side="gitlab", effect=Effect.COMMIT_THEN_DROP),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="gitlab-no-answer",
        title="the connection closes before a request reaches GitLab",
        strike=OnTheWire(side="gitlab", effect=Effect.DROP),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="gitlab-page-200",
        title="a proxy answers with a web page and 200",
        strike=page(200),
        once=STOPS,
        lasting=STOPS,
    ),
    Fault(
        name="gitlab-page-502",
        title="a proxy answers with a web page and 502",
        strike=page(502),
        once=COMPLETES,
        lasting=STOPS,
    ),
    Fault(
        name="gitlab-truncated",
        title="an answer is cut short",
        strike=OnTheWire(side="gitlab", effect=Effect.TRUNCATE),
        once=COMPLETES,
        lasting=STOPS,
    ),
)


def at_rules(fault: Fault) -> Fault:
    """The same fault at the requests that make, read and remove protection rules."""
    stops: Both = {"migrate": {"*": 5}, "rollback": STOPS["rollback"]}
    return replace(
        fault,
        name=f"{fault.name}-rules",
        setting="protected",
        once=COMPLETES if fault.once is COMPLETES else stops,
        lasting=stops,
        strike=replace(fault.strike, only="rule"),
    )


AT_RULES = (*(fault for fault in MODES if fault.name in {"g", "i"}), *BETWEEN)
FAULTS = (*MODES, *SOMEBODY, *BETWEEN, *map(at_rules, AT_RULES))
