"""How a fault is brought about at one step: by a proxy, by the stand-in's own fault modes, or by somebody else's deed."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from migrator.standin import Fault as StandinFault
from tests.faults.model import OfTheTrace, Step
from tests.support.fault_proxy import Effect, Fault

if TYPE_CHECKING:
    from tests.faults.bench import Bench


@dataclass(frozen=True, kw_only=True)
class OnTheWire(OfTheTrace):
    """The proxy before ``side`` does ``effect`` to the requests that method, path and ``only`` (a pattern of names) select."""

    side: str
    effect: Effect
    method: str = ""
    path: str = ""
    only: str = ""
    answered: tuple[int, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    def fits(self, step: Step) -> bool:
        return (
            self._selects(step)
            and (self.effect is not Effect.STALE or step.stale)
            and (not self.answered or step.status in self.answered)
            and re.search(self.only, step.name) is not None
        )

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        before = [one for one in trace if self._counts(one) and one.number < step.number]
        fault = Fault(
            self.effect,
            method=self.method,
            path=self.path,
            after=len(before),
            times=None if lasting else 1,
            **self.more,
        )
        bench.proxy(self.side).inject(fault)
        return lambda: fault.struck

    def _selects(self, step: Step) -> bool:
        return step.side == self.side and bool(
            re.search(f"^({self.method})", step.request) and re.search(self.path, step.path)
        )

    def _counts(self, step: Step) -> bool:
        return self._selects(step) and (self.effect is not Effect.STALE or step.stale)


@dataclass(frozen=True, kw_only=True)
class AtGitLab(OfTheTrace):
    """One of the stand-in's fault modes, at the requests that the mode looks at."""

    mode: str
    variant: str = "status"
    only: str = ""

    def fits(self, step: Step) -> bool:
        return self._counts(step) and re.search(self.only, step.name) is not None

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        before = sum(self._counts(one) for one in trace if one.side == step.side and one.number < step.number)
        bench.standin.arm(
            StandinFault(mode=self.mode, after=before, times=None if lasting else 1, variant=self.variant)
        )
        return lambda: bench.count_strikes(self.mode)

    def _counts(self, step: Step) -> bool:
        return self.mode in step.looked_at


@dataclass(frozen=True, kw_only=True)
class OnDisk(OfTheTrace):
    """A local write meets a fault: one of ``operations`` (see ``disk``)."""

    operations: tuple[str, ...]
    meet: Callable[..., Any]

    def fits(self, step: Step) -> bool:
        return step.side == "disk" and step.request.split()[0] in self.operations

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        after = sum(self.fits(one) for one in trace if one.number < step.number)
        seen = struck = 0

        def meet(operation: str, call: Callable[[], Any], where: Any, args: tuple[Any, ...]) -> Any:
            nonlocal seen, struck
            if operation not in self.operations:
                return call()
            seen += 1
            if seen <= after or (struck and not lasting):
                return call()
            struck += 1
            return self.meet(call, where, args, first=struck == 1)

        bench.disk.meet = meet
        return lambda: struck


@dataclass(frozen=True, kw_only=True)
class BySomebody(OfTheTrace):
    """Somebody else does ``deed`` just before a request; ``only`` is a pattern of the command and the step's name."""

    side: str
    deed: Callable[["Bench"], None]
    only: str = ""

    def fits(self, step: Step) -> bool:
        return step.side == self.side and re.search(self.only, f"{step.command} {step.name}") is not None

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        fault = Fault(Effect.PASS, after=step.number, act=lambda: bench.somebody(self.deed))
        bench.proxy(self.side).inject(fault)
        return lambda: fault.struck


@dataclass(frozen=True, kw_only=True)
class Interrupt(OfTheTrace):
    """What the handler of SIGINT and SIGTERM does, in the middle of a request or of the renaming of a file."""

    def fits(self, step: Step) -> bool:
        return step.side != "disk" or step.request in {"rename file", "unlink file"}

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        if step.side == "disk":
            return OnDisk(operations=tuple({step.request.split()[0]}), meet=self._meet(bench)).arm(
                bench, trace, step, lasting=False
            )
        fault = Fault(Effect.PASS, after=step.number, act=bench.interrupt)
        bench.proxy(step.side).inject(fault)
        return lambda: fault.struck

    @staticmethod
    def _meet(bench: "Bench") -> Callable[..., Any]:
        def meet(call: Callable[[], Any], where: Any, args: tuple[Any, ...], *, first: bool) -> Any:
            bench.interrupt()
            return call()

        return meet


class Standing:
    """What the setting of the bench is, from the beginning on."""

    def find_steps(self, bench: "Bench", base: str, trace: list[Step]) -> list[Step]:
        return [replace(trace[0], name="from the beginning", request="from the beginning")]

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        return lambda: 1


class TurnBackTheClock:
    """From one look at the clock to the next, a day less has passed."""

    def find_steps(self, bench: "Bench", base: str, trace: list[Step]) -> list[Step]:
        return [replace(trace[0], name="every record", request="every record")]

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        now = datetime(2026, 1, 2, tzinfo=UTC)
        looks = 0

        def clock() -> str:
            nonlocal looks
            looks += 1
            return (now - looks * timedelta(days=1)).isoformat().replace("+00:00", "Z")

        bench.clock = clock
        return lambda: looks


@dataclass(frozen=True, kw_only=True)
class AtRest:
    """Something below the run directory was damaged before the command began.

    ``find`` gives places in the bytes of each file that ``files`` (a pattern of paths) selects, by name; ``damage`` changes the
    bytes at one of them. ``Bench.put_back`` repairs it.
    """

    files: str
    find: Callable[[bytes], list[tuple[str, int]]]
    damage: Callable[[bytes, int], bytes]

    def find_steps(self, bench: "Bench", base: str, trace: list[Step]) -> list[Step]:
        first = replace(trace[0], side="disk")
        return [
            replace(first, number=at, name=name, request=name, path=path)
            for path, (data, _) in bench.bases[base].files.items()
            if re.search(self.files, path)
            for name, at in self.find(data)
        ]

    def arm(self, bench: "Bench", trace: list[Step], step: Step, *, lasting: bool) -> Callable[[], int]:
        path = bench.plain.root / step.path
        whole = path.read_bytes()
        path.write_bytes(self.damage(whole, step.number))
        bench.repairs.append(lambda: path.write_bytes(whole) and None)
        return lambda: 1
