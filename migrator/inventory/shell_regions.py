"""What a piece of shell says about state: its assignments, directories, addresses and whether it initializes. PURE.

Reads by line and word, on purpose without the full grammar: this answers *which* state an entry point uses, and nothing
here is ever the basis of an edit (locators with a parser are). A script is cut where it changes its directory, so that
each region runs in one place. Comments do not count.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from migrator.inventory.model import Place
from migrator.inventory.values import Lookup, Value, build_value, expand

_WORD = (
    r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|\$\{\{[^\n]*?\}\}|\{\{[^\n]*?\}\}|\$\{[^}\n]*\}|\$\([^)\n]*\)"
    r"|[^\s;&|()\"'])+"
)
_ASSIGNMENT = re.compile(
    rf"(?:^|[;&|()]|\b(?:export|local|readonly|then|else|do|env))[ \t]*([A-Za-z_]\w*)=({_WORD})", re.MULTILINE
)
_DIRECTORY = re.compile(
    rf"(?:^|[;&|(@]|\b(?:then|else|do))[ \t]*(?:cd|pushd)[ \t]+(?:--[ \t]+)?(?P<cd>{_WORD})|-chdir=(?P<chdir>{_WORD})",
    re.MULTILINE,
)
_COMMAND = re.compile(
    r"(?:^|(?<=[\s;&|(@\"'/]))"
    r"(?P<program>tofu|terraform|gitlab-tofu|gitlab-terraform|terragrunt|\{\{[^}\n]*\}\}|\"?\$\{?[A-Za-z_]\w*\}?\"?)"
    r"(?:[ \t]+-[^\s]+)*[ \t]+(?P<command>init|plan|apply|destroy)\b(?P<arguments>(?:\\\r?\n|[^\n;&|])*)",
    re.MULTILINE,
)
# A quote may stand before the flag, before its value, or nowhere: what it opens, it closes.
_ADDRESS = re.compile(
    rf"(?:[\"']-backend-config=address=(?P<flag>[^\"'\n]*)"
    rf"|-backend-config(?:=|[ \t]+)(?:\"address=(?P<double>(?:[^\"\\\n]|\\.)*)\"?|'address=(?P<single>[^'\n]*)"
    rf"|address=(?P<word>{_WORD})))"
)
_BACKEND_FILE = re.compile(r"-backend-config(?:=|[ \t]+)[\"']?[^\s=\"']+[\"']?(?:\s|$)")
_CASE = re.compile(r"^[ \t]*case[ \t]+(.+?)[ \t]+in\b")
_ARM = re.compile(r"^[ \t]*\(?([^()\s][^()]*)\)")
_MOST_STEPS = 4
_WRAPPERS = frozenset({"gitlab-tofu", "gitlab-terraform"})


@dataclass(frozen=True, slots=True)
class Arm:
    """The arm of a ``case`` that an assignment stands in: all patterns of the case in order, and which arm it is."""

    subject: str
    patterns: tuple[str, ...]
    index: int

    def is_taken(self, subject: str) -> bool:
        """Return whether this is the first arm that matches ``subject``."""
        for index, pattern in enumerate(self.patterns):
            if any(fnmatchcase(subject, _bare(one)) for one in pattern.split("|")):
                return index == self.index
        return False


@dataclass(frozen=True, slots=True)
class Assigned:
    """``name=text`` at a line, inside of an arm of a ``case`` or not."""

    text: str
    place: Place
    arm: Arm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellRegion:
    """A piece of shell that runs in one directory. Texts are without quotes.

    ``directories`` is where it changes to: as written, and seen from the directory before; none where it starts.
    ``addresses`` are the address flags of its init
    commands; ``init_place`` is its first init with a backend; ``works_on_state`` says that it plans, applies or destroys,
    ``takes_backend_file`` that it names a file with settings, ``uses_wrapper`` that it calls GitLab's wrapper scripts.
    """

    assignments: Mapping[str, tuple[Assigned, ...]]
    directories: tuple[str, ...]
    addresses: tuple[Assigned, ...]
    init_place: Place | None
    works_on_state: bool
    takes_backend_file: bool
    uses_wrapper: bool

    @property
    def initializes(self) -> bool:
        """Whether it runs an init with a backend."""
        return self.init_place is not None


@dataclass(frozen=True, slots=True)
class Source:
    """Lines of shell that run one after the other, and where each of them stands."""

    lines: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()

    def __add__(self, other: "Source") -> "Source":
        return Source(self.lines + other.lines, self.places + other.places)

    def areas(self) -> tuple[Place, ...]:
        """Return the lines as areas of files: one for each run of lines that follow each other."""
        found: list[Place] = []
        for place in self.places:
            last = found[-1] if found else None
            if last and last.path == place.path and 0 <= place.start_line - last.end_line <= 1:
                found[-1] = Place(path=last.path, start_line=last.start_line, end_line=place.end_line)
            else:
                found.append(place)
        return tuple(found)


def build_source(text: str, *, path: str, first_line: int, is_one_line: bool = False) -> Source:
    """Return ``text``, which begins at ``first_line`` of the file and stands there line by line, or on that one line."""
    lines = tuple(text.split("\n"))
    step = 0 if is_one_line else 1
    numbers = [first_line + step * index for index in range(len(lines))]
    return Source(lines, tuple(Place(path=path, start_line=line, end_line=line) for line in numbers))


def read_regions(source: Source) -> tuple[ShellRegion, ...]:
    """Return what a script says, by directory that it runs in; the first region is where it starts."""
    text = "\n".join("" if line.lstrip().startswith("#") else line for line in source.lines)
    place_of = _PlaceFinder(text, source.places)
    cuts = list(_DIRECTORY.finditer(text))
    edges = [0, *(_start_of_command(text, cut) for cut in cuts), len(text)]
    assigned = _read_assignments(text, place_of)
    regions: list[ShellRegion] = []
    carried: dict[str, tuple[Assigned, ...]] = {}
    for index, (start, end) in enumerate(pairwise(edges)):
        here: dict[str, list[Assigned]] = defaultdict(list)
        for offset, name, one in assigned:
            if start <= offset < end:
                here[name].append(one)
        carried = carried | {name: tuple(found) for name, found in here.items()}
        directories = _directories(cuts[index - 1], regions[-1].directories) if index else ()
        regions.append(_build_region(text, start, end, place_of, assignments=carried, directories=directories))
    return tuple(regions)


def build_lookup(region: ShellRegion, outside: Lookup, known: Mapping[str, str]) -> Lookup:
    """Return a lookup of the region's own variables first, then of ``outside``; ``known`` fills unknown parts.

    A variable that is set from itself (``X="${X:-dev}"``) is looked up outside.
    """
    resolving: list[str] = []

    def look_up(language: str, name: str) -> tuple[Value, ...]:
        if language == "shell" and name in region.assignments and name not in resolving:
            resolving.append(name)
            try:
                values = [
                    value.bind(known).with_place(assigned.place)
                    for assigned in region.assignments[name]
                    if _is_reached(assigned, look_up, known)
                    for value in expand(assigned.text, look_up)
                ]
            finally:
                resolving.pop()
            if values:
                return tuple(dict.fromkeys(values))
        found = tuple(value.bind(known) for value in outside(language, name))
        return found or ((build_value([known[name]]),) if name in known else ())

    return look_up


def _build_region(
    text: str,
    start: int,
    end: int,
    place_of: "_PlaceFinder",
    *,
    assignments: Mapping[str, tuple[Assigned, ...]],
    directories: tuple[str, ...],
) -> ShellRegion:
    commands = list(_COMMAND.finditer(text, start, end))
    inits = [one for one in commands if one["command"] == "init" and "-backend=false" not in one["arguments"]]
    addresses = [
        Assigned(_bare(one[one.lastgroup or "word"]), place_of(one.start()))
        for one in _ADDRESS.finditer(text, start, end)
    ]
    return ShellRegion(
        assignments=assignments,
        directories=directories,
        addresses=tuple(addresses),
        init_place=place_of(inits[0].start("command")) if inits else None,
        works_on_state=any(one["command"] != "init" for one in commands),
        takes_backend_file=any(_BACKEND_FILE.search(one["arguments"]) for one in inits),
        uses_wrapper=any(one["program"] in _WRAPPERS for one in commands),
    )


def _start_of_command(text: str, cut: re.Match[str]) -> int:
    """Return where the region begins: at ``cd``, or at the line of the command that has ``-chdir``."""
    return cut.start("cd") if cut["cd"] else text.rfind("\n", 0, cut.start()) + 1


def _directories(cut: re.Match[str], before: tuple[str, ...]) -> tuple[str, ...]:
    directory = _bare(cut["cd"] or cut["chdir"])
    # Subshells come back by themselves, so a path may be meant from the start or from where the line before went.
    return (directory, *(f"{one}/{directory}" for one in before[:_MOST_STEPS] if not directory.startswith("/")))


def _read_assignments(text: str, place_of: "_PlaceFinder") -> list[tuple[int, str, Assigned]]:
    arms = _read_arms(text.split("\n"))
    return [
        (start, found[1], Assigned(_bare(found[2]), place_of(start), arms.get(place_of.index(start))))
        for found in _ASSIGNMENT.finditer(text)
        for start in [found.start(1)]
    ]


def _is_reached(assigned: Assigned, lookup: Lookup, known: Mapping[str, str]) -> bool:
    if assigned.arm is None:
        return True
    subjects = [value.bind(known).text for value in expand(assigned.arm.subject, lookup)]
    return any(subject is None or assigned.arm.is_taken(subject) for subject in subjects)


def _read_arms(lines: list[str]) -> dict[int, Arm]:
    """Return the arm that each line of a ``case`` stands in, by index of the line; nested cases count for the inner."""
    found: dict[int, Arm] = {}
    stack: list[tuple[str, list[str], list[tuple[int, int]]]] = []
    at_arm = False
    for index, line in enumerate(lines):
        if opening := _CASE.match(line):
            stack.append((_bare(opening[1]), [], []))
            at_arm = True
        elif stack and line.strip().startswith("esac"):
            subject, patterns, members = stack.pop()
            for member, arm in members:
                found.setdefault(member, Arm(subject, tuple(patterns), arm))
        elif stack and line.strip():
            _, patterns, members = stack[-1]
            if at_arm and (arm_found := _ARM.match(line)):
                patterns.append(arm_found[1])
                at_arm = False
            if patterns:
                members.append((index, len(patterns) - 1))
            at_arm = at_arm or line.rstrip().endswith(";;")
    return found


def _bare(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word.replace('"', "").replace("'", "")).strip()


class _PlaceFinder:
    """Offset in a joined text -> where that line stands."""

    def __init__(self, text: str, places: tuple[Place, ...]) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._places = places

    def index(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1

    def __call__(self, offset: int) -> Place:
        return self._places[self.index(offset)]
