"""What the files show of each surface: proofs, and what is only said."""

from collections.abc import Iterator

from migrator.audit.model import Evidence, Standing, SurfaceReport
from migrator.audit.reading import Reading, find_uses
from migrator.audit.rules import Surface, compile_rule
from migrator.inventory.model import Place, Stack
from migrator.inventory.stacks import is_gitlab_backend
from migrator.rewrite.reference import WORDS
from migrator.rewrite.spans import line_of


def _is_s3_backend(stack: Stack) -> bool:
    return stack.backend is not None and stack.backend.type == "s3"


_BACKENDS = {"gitlab": is_gitlab_backend, "s3": _is_s3_backend}


def find_stacks(reading: Reading, backend: str) -> list[Stack]:
    """Return the stacks whose state is at ``backend``, none where that is ""."""
    judge = _BACKENDS.get(backend)
    return [stack for stack in reading.inventory.stacks if judge(stack)] if judge else []


def report_surface(reading: Reading, surface: Surface) -> SurfaceReport:
    """Return what the files show of one surface. Proofs come first."""
    stacks = find_stacks(reading, surface.backend)
    found = {one.place: one for one in _find_evidence(reading, surface, stacks)}
    evidence = tuple(sorted(found.values(), key=lambda one: (not one.proves, one.place)))
    proven = any(one.proves for one in evidence)
    return SurfaceReport(
        surface=surface.id,
        title=surface.title,
        owner=surface.owner,
        is_=surface.is_,
        is_not=surface.is_not,
        standing=Standing.IMPLEMENTED if proven else Standing.DECLARED if evidence else Standing.ABSENT,
        evidence=evidence,
        stacks=tuple(stack.name for stack in stacks),
    )


def _find_evidence(reading: Reading, surface: Surface, stacks: list[Stack]) -> Iterator[Evidence]:
    yield from _find_mentions(reading, surface)  # first: a proof at the same place takes its place
    yield from _find_uses(reading, surface)
    yield from _find_modules(reading, surface)
    for stack in stacks:
        assert stack.backend is not None
        yield Evidence(place=stack.backend.place, what=f"backend of stack {stack.name}", proves=True)
    if surface.backend == "gitlab":
        for one in reading.inventory.references:
            if one.leads_to_source and one.kind not in WORDS:
                serves = f" of {', '.join(one.stacks)}" if one.stacks else ""
                yield Evidence(place=one.place, what=f"{one.kind}{serves}", proves=bool(stacks))


def _find_uses(reading: Reading, surface: Surface) -> Iterator[Evidence]:
    if not surface.uses:
        return
    pattern = "|".join(surface.uses)
    for path, text in reading.code():
        if compile_rule(pattern).search(text):
            proves = reading.proves(path)
            for found in find_uses(text, pattern):
                line = line_of(text, found.start())
                what = " ".join(found.group().split())[:60]
                yield Evidence(place=Place(path=path, start_line=line, end_line=line), what=what, proves=proves)


def _find_modules(reading: Reading, surface: Surface) -> Iterator[Evidence]:
    if not surface.module:
        return
    pattern = compile_rule(surface.module)
    for directory, main in reading.modules.items():
        if pattern.search(directory.rpartition("/")[2]):
            used = "instantiated" if directory in reading.instantiated else "which no stack instantiates"
            place = Place(path=main, start_line=1, end_line=1)
            yield Evidence(place=place, what=f"module {directory}, {used}", proves=False)
    stacks = {stack.directory for stack in reading.inventory.stacks}
    for call in reading.calls:
        if pattern.search(call.source.rstrip("/").rpartition("/")[2].partition("?")[0]):
            active = call.directory in stacks or call.directory in reading.instantiated
            yield Evidence(place=call.place, what=f"{call.directory} instantiates {call.source}", proves=active)


def _find_mentions(reading: Reading, surface: Surface) -> Iterator[Evidence]:
    """Yield what is only said: one place for each document, and no sentence that denies it."""
    if not surface.named:
        return
    named, denied = compile_rule(surface.named), compile_rule(reading.rules.negations)
    seen: set[str] = set()
    for path, sentence, _ in reading.sentences:
        if (
            path not in seen
            and named.search(sentence.text)
            and not denied.search(f"{sentence.heading}. {sentence.text}")
        ):
            seen.add(path)
            place = Place(path=path, start_line=sentence.start_line, end_line=sentence.end_line)
            yield Evidence(place=place, what="a document names it", proves=False, said=True)
