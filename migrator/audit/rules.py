"""The rules of the audit: data, in ``rules.toml`` beside this file; a repository may extend or replace them.

A file of one's own has the same form. A surface with the ``id`` of a built-in one takes its place, others are added; with
``replace = true`` at its top nothing built-in is left.
"""

import re
from functools import cache
from pathlib import Path

import msgspec

from migrator.errors import ConfigurationError

FORMAT = "migrator.audit-rules/1"
_BUILT_IN = Path(__file__).with_name("rules.toml")


class Coordinate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One coordinate of a surface, on which all active files must agree: ``pattern`` finds it in code, and ``told`` in
    paragraphs of documents that name the surface; the group ``value`` is it.
    """

    name: str
    pattern: str
    told: str = ""


class Surface(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"is_": "is"}):
    """One surface. Patterns are regular expressions of Python, read with ``(?im)``.

    ``backend``: ``gitlab`` or ``s3``, whose state the stacks' backends put there. ``module``: directories of modules, which
    prove it once a stack instantiates one. ``uses``: lines of code that prove it. ``named``: how sentences call it.
    ``coordinates``: what its users must agree on.
    """

    id: str
    title: str
    owner: str = ""
    is_: str = ""
    is_not: str = ""
    backend: str = ""
    module: str = ""
    uses: tuple[str, ...] = ()
    named: str = ""
    coordinates: tuple[Coordinate, ...] = ()


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence about a surface that must not stand.

    ``surface`` is whose name the sentence holds; ``says`` what it says of it, ``about`` what it or its paragraph holds besides;
    ``unless`` words that make it no claim, besides negation, future and doubt, which never are; ``while`` the standings in
    which it is wrong (all when empty). Of a surface with a ``backend`` it is wrong for each stack whose state is elsewhere.
    """

    code: str
    surface: str
    says: str
    message: str
    about: str = ""
    unless: str = ""
    while_: tuple[str, ...] = msgspec.field(name="while", default=())


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules. ``negations`` deny, ``hedges`` speak of future and doubt; ``history`` names files that tell what was."""

    format: str
    replace: bool = False
    negations: str = ""
    hedges: str = ""
    history: str = ""
    surface: tuple[Surface, ...] = ()
    claim: tuple[Claim, ...] = ()


@cache
def compile_rule(pattern: str) -> re.Pattern[str]:
    """Return a rule's pattern, which matches nothing when it is empty.

    Raises: re.error.
    """
    return re.compile(f"(?im:{pattern})" if pattern else r"(?!)")


def read_rules(extra: Path | None) -> Rules:
    """Return the built-in rules, extended or replaced by those in ``extra``.

    Raises: ConfigurationError.
    """
    built_in = _read(_BUILT_IN)
    if extra is None:
        return built_in
    own = _read(extra)
    if own.replace:
        return own
    surfaces = {one.id: one for one in (*built_in.surface, *own.surface)}
    claims = {(one.code, one.surface): one for one in (*built_in.claim, *own.claim)}
    return Rules(
        format=FORMAT,
        negations=own.negations or built_in.negations,
        hedges=own.hedges or built_in.hedges,
        history="|".join(one for one in (built_in.history, own.history) if one),
        surface=tuple(surfaces.values()),
        claim=tuple(claims.values()),
    )


def _read(path: Path) -> Rules:
    try:
        rules = msgspec.toml.decode(path.read_bytes(), type=Rules)
    except OSError as error:
        raise _fail(path, f"the rules cannot be read: {error.strerror}", "migrator audit --rules FILE") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _fail(path, f"these are no rules: {error}", "docs/audit.md describes the form") from None
    if rules.format != FORMAT:
        raise _fail(path, f"rules of format {rules.format!r}", f'write format = "{FORMAT}"')
    _check(rules, path)
    return rules


def _check(rules: Rules, path: Path) -> None:
    patterns = [rules.negations, rules.hedges, rules.history]
    for surface in rules.surface:
        patterns += [surface.module, surface.named, *surface.uses, *(one.pattern for one in surface.coordinates)]
        for coordinate in surface.coordinates:
            patterns.append(coordinate.told)
            if not all("(?P<value>" in one for one in (coordinate.pattern, coordinate.told or "(?P<value>")):
                raise _fail(path, f"{surface.id}, {coordinate.name}: the pattern has no group (?P<value>...)", "add it")
        if surface.backend not in ("", "gitlab", "s3"):
            raise _fail(path, f"{surface.id}: backend {surface.backend!r}", 'write "gitlab" or "s3"')
    for claim in rules.claim:
        patterns += [claim.says, claim.about, claim.unless]
    for pattern in patterns:
        try:
            compile_rule(pattern)
        except re.error as error:
            raise _fail(path, f"not a regular expression: {pattern!r}: {error}", "correct it") from None


def _fail(path: Path, message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, where=str(path), now="nothing was read but this file", hint=hint)
