"""Where the files contradict each other: a claim that the backends refute, files of one stack that disagree, coordinates that
differ. Nobody's word counts against what runs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from migrator.audit.model import Contradiction, SurfaceReport
from migrator.audit.prose import Sentence
from migrator.audit.reading import Reading, find_uses
from migrator.audit.rules import Claim, Coordinate, Surface, compile_rule
from migrator.audit.surfaces import find_stacks
from migrator.inventory.model import Place, Stack
from migrator.rewrite.reference import WORDS
from migrator.rewrite.spans import line_of

_MOST_AGAINST = 5
_S3_FLAG = r"-backend-config(?:=|[ \t]+)[\"']?(?:bucket|key|region|endpoints?|use_lockfile)="
_INSIDE = re.compile(r"\.svc\b|\.local\b|\blocalhost\b|://(?:127|10|192\.168)\.")
_PLACEHOLDER = re.compile(r"[<>{}$*]|\bEXAMPLE\b|\.\.\.")


def find_contradictions(reading: Reading, reports: Mapping[str, SurfaceReport]) -> tuple[Contradiction, ...]:
    """Return every contradiction, by place."""
    found = {*_find_half_moved(reading), *_find_wrong_claims(reading, reports), *_find_differing(reading)}
    return tuple(sorted(found))


# Files of one stack


def _find_half_moved(reading: Reading) -> Iterator[Contradiction]:
    """Yield working lines that lead elsewhere than the backend of their stack."""
    surfaces = {surface.backend: surface for surface in reading.rules.surface if surface.backend}
    s3 = {stack.name: stack for stack in find_stacks(reading, "s3")}
    gitlab = {stack.name: stack for stack in find_stacks(reading, "gitlab")}
    if s3 and "gitlab" in surfaces:
        yield from _find_left_behind(reading, surfaces["gitlab"], s3)
    if gitlab and "s3" in surfaces:
        yield from _find_ahead(reading, surfaces["s3"], gitlab)


def _find_left_behind(reading: Reading, surface: Surface, s3: Mapping[str, Stack]) -> Iterator[Contradiction]:
    for one in reading.inventory.references:
        if one.kind in WORDS or not one.leads_to_source:
            continue
        names = sorted((set(one.stacks) | reading.survey.stacks_at(one.place)) & s3.keys())
        if one.stray or names:
            message = f"leads to GitLab, and the backend of {', '.join(names) or 'every stack'} is s3"
            yield _half_moved(surface, one.place, message, [s3[name] for name in names] or list(s3.values()))


def _find_ahead(reading: Reading, surface: Surface, gitlab: Mapping[str, Stack]) -> Iterator[Contradiction]:
    for path, text in reading.code():
        for found in find_uses(text, _S3_FLAG) if "-backend-config" in text else ():
            line = line_of(text, found.start())
            place = Place(path=path, start_line=line, end_line=line)
            for name in sorted(reading.survey.stacks_at(place) & gitlab.keys()):
                message = f"configures an s3 backend, and the backend of {name} is GitLab's"
                yield _half_moved(surface, place, message, [gitlab[name]])


def _half_moved(surface: Surface, place: Place, message: str, stacks: Sequence[Stack]) -> Contradiction:
    return Contradiction(
        place=place,
        code="half-moved",
        surface=surface.id,
        owner=surface.owner,
        message=message,
        against=_backends(stacks),
    )


def _backends(stacks: Sequence[Stack]) -> tuple[Place, ...]:
    return tuple(stack.backend.place for stack in stacks[:_MOST_AGAINST] if stack.backend)


# Sentences


def _find_wrong_claims(reading: Reading, reports: Mapping[str, SurfaceReport]) -> Iterator[Contradiction]:
    surfaces = {surface.id: surface for surface in reading.rules.surface}
    claims = [claim for claim in reading.rules.claim if claim.surface in surfaces]
    denied = compile_rule(reading.rules.negations)
    hedged = compile_rule("|".join(one for one in (reading.rules.negations, reading.rules.hedges) if one))
    for path, sentence, _ in reading.sentences:
        for claim in claims:
            surface = surfaces[claim.surface]
            if not _makes(claim, surface, sentence):
                continue
            if hedged.search(sentence.text) or denied.search(sentence.heading):
                continue
            against = _refute(reading, reports[surface.id], claim, surface, sentence)
            if against is None:
                continue
            elsewhere, places = against
            yield Contradiction(
                place=Place(path=path, start_line=sentence.start_line, end_line=sentence.end_line),
                code=claim.code,
                surface=surface.id,
                owner=surface.owner,
                message=claim.message + elsewhere,
                against=places,
            )


def _makes(claim: Claim, surface: Surface, sentence: Sentence) -> bool:
    return bool(
        (not surface.named or compile_rule(surface.named).search(sentence.text))
        and compile_rule(claim.says).search(sentence.text)
        and (not claim.about or compile_rule(claim.about).search(f"{sentence.heading}. {sentence.paragraph}"))
        and not compile_rule(claim.unless).search(sentence.text)
    )


def _refute(
    reading: Reading, report: SurfaceReport, claim: Claim, surface: Surface, sentence: Sentence
) -> tuple[str, tuple[Place, ...]] | None:
    """Return what the message adds and the places that refute the claim, None when it stands."""
    if not surface.backend:
        if claim.while_ and report.standing.value not in claim.while_:
            return None
        against = [one.place for one in report.evidence if not one.said]
        # What stands outside of this repository may well be active: a candidate is a module that is here.
        return None if surface.module and claim.while_ and not against else ("", tuple(against[:_MOST_AGAINST]))
    here = {stack.name for stack in find_stacks(reading, surface.backend)}
    known = {one.name for other in _backends_of(reading) for one in find_stacks(reading, other)}
    # What is kept by a backend of another kind (local, a cloud's) refutes nothing as long as any state is where it is said.
    others = [
        stack
        for stack in reading.inventory.stacks
        if stack.backend and stack.name not in here and (not here or stack.name in known)
    ]
    meant = [stack for stack in reading.inventory.stacks if re.search(rf"\b{re.escape(stack.name)}\b", sentence.text)]
    wrong = [stack for stack in others if stack in meant] if meant else others
    if not wrong:
        return None
    told = ", ".join(f"{stack.name} ({stack.backend.type})" for stack in wrong if stack.backend)
    return f": {told}", _backends(wrong)


def _backends_of(reading: Reading) -> set[str]:
    return {surface.backend for surface in reading.rules.surface if surface.backend}


# Coordinates


def _find_differing(reading: Reading) -> Iterator[Contradiction]:
    for surface in reading.rules.surface:
        by_name: dict[str, list[Coordinate]] = defaultdict(list)
        for coordinate in surface.coordinates:
            by_name[coordinate.name].append(coordinate)
        for name, coordinates in by_name.items():
            yield from _compare(reading, surface, name, coordinates)


def _compare(
    reading: Reading, surface: Surface, name: str, coordinates: Sequence[Coordinate]
) -> Iterator[Contradiction]:
    defined, told = _read_defined(reading, coordinates), list(_read_told(reading, surface, coordinates))
    for inside in (False, True):  # one service has an address inside the cluster and one outside
        files: dict[str, dict[str, Place]] = defaultdict(dict)
        for value, place in defined:
            if bool(_INSIDE.search(value)) == inside:
                files[place.path].setdefault(value, place)
        # A file with several values chooses between them.
        single = [next(iter(found.items())) for found in files.values() if len(found) == 1]
        known = {value for found in files.values() for value in found}
        counted = Counter(value for value, _ in single)
        usual = max(counted, key=lambda value: (counted[value], value), default=None)
        for value, place in single:
            several = any(len(found) > 1 and value in found for found in files.values())
            if value != usual and not several:
                against = tuple(place for other, place in single if other == usual)
                yield _differs(surface, name, place, f"{value} here, {usual} elsewhere", against)
        places = tuple(place for found in files.values() for place in found.values())
        elsewhere = f", code says {', '.join(sorted(known))}" if known else ", which no code defines"
        for value, place in told:
            if bool(_INSIDE.search(value)) == inside and not any(_same(value, one) for one in known):
                yield _differs(surface, name, place, f"the document says {value}{elsewhere}", places)


def _differs(surface: Surface, name: str, place: Place, message: str, against: tuple[Place, ...]) -> Contradiction:
    return Contradiction(
        place=place,
        code="coordinates-differ",
        surface=surface.id,
        owner=surface.owner,
        message=f"{name}: {message}",
        against=against[:_MOST_AGAINST],
    )


def _read_defined(reading: Reading, coordinates: Sequence[Coordinate]) -> list[tuple[str, Place]]:
    found: list[tuple[str, Place]] = []
    for path, text in reading.code():
        for coordinate in coordinates if reading.proves(path) else ():
            for one in find_uses(text, coordinate.pattern):
                value = _clean(one["value"])
                if value and not _PLACEHOLDER.search(value):
                    line = line_of(text, one.start("value"))
                    found.append((value, Place(path=path, start_line=line, end_line=line)))
    return found


def _read_told(reading: Reading, surface: Surface, coordinates: Sequence[Coordinate]) -> Iterator[tuple[str, Place]]:
    named = compile_rule(surface.named)
    for path, sentence, is_document in reading.sentences:
        if not is_document or not named.search(f"{sentence.heading}. {sentence.paragraph}"):
            continue
        for coordinate in coordinates:
            for one in compile_rule(coordinate.told).finditer(sentence.text):
                value = _clean(one["value"])
                if not _PLACEHOLDER.search(value):
                    yield value, Place(path=path, start_line=sentence.start_line, end_line=sentence.end_line)


def _clean(value: str) -> str:
    return value.strip("\"'`").rstrip("/.,;:)")


def _same(told: str, defined: str) -> bool:
    """A document may name a path below an endpoint."""
    return told == defined or told.startswith(f"{defined}/") or defined.startswith(f"{told}/")
