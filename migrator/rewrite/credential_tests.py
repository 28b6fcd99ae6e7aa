"""The forms in which shell tests TF_HTTP_PASSWORD and TF_HTTP_USERNAME, and the same tests of two other variables.

``[ -z "${X:-}" ]``, ``[[ -n $X && ... ]]``, ``test -z "$X"``, ``[ "$X" = "" ]``, ``[[ -v X ]]``, ``: "${X:?message}"``.
Where only the password is tested, both new variables must be set: a test for "unset" joins them by *or*, one for "set"
by *and*.
"""

import re

_VARIABLE = r"TF_HTTP_(?:PASSWORD|USERNAME)"
_VALUE = rf"\"?\$(?:\{{(?:{_VARIABLE})(?::?[-+][^}}]*)?\}}|{_VARIABLE}\b)\"?"
_PREDICATE = re.compile(
    rf"(?P<empty>-z\s+{_VALUE}|{_VALUE}\s*==?\s*(?:\"\"|''))"
    rf"|(?P<filled>-n\s+{_VALUE}|{_VALUE}\s*!=\s*(?:\"\"|'')|-v\s+{_VARIABLE}\b|(?<=\[ ){_VALUE}(?= \]))"
)
_DEMAND = re.compile(
    rf"^:\s+(?P<quote>\"?)\$\{{(?P<name>{_VARIABLE})(?P<operator>:?\?)(?P<message>[^}}]*)\}}(?P=quote)\s*$"
)
_SINGLE = re.compile(r"(?P<open>\[(?!\[)\s+|\btest\s+)(?P<inner>(?:(?!\]).)*?)(?P<close>\s+\](?!\])|$)", re.DOTALL)


def names_only_credentials(test: str) -> bool:
    """Tell whether of all TF_HTTP_* only the password and the username are named."""
    return not re.search(r"TF_HTTP_(?!PASSWORD\b|USERNAME\b)", test)


def split_test(test: str) -> list[str] | None:
    """Return the predicates on credentials in a test, or None when one of them has a form that is not known."""
    if _DEMAND.match(test.strip()):
        return [test]
    predicates = [found.group() for found in _PREDICATE.finditer(test)]
    named = len(re.findall(rf"\b{_VARIABLE}\b", test))
    if named == 0 or len(predicates) != named or re.search(r"\s-[ao]\s", test):
        return None
    return predicates


def rewrite_test(test: str, *, access: str, secret: str, grouped: bool) -> str:
    """Return the test of ``access`` and ``secret``; ``grouped`` where it stands beside ``&&`` or ``||``.

    A test that asks for username and password asks for the one and the other; a test of one of them asks for both.
    """
    both = {name for name in ("PASSWORD", "USERNAME") if re.search(rf"TF_HTTP_{name}\b", test)}
    if len(both) == 2:
        return test.replace("TF_HTTP_USERNAME", access).replace("TF_HTTP_PASSWORD", secret)
    demand = _DEMAND.match(test.strip())
    if demand:
        names = (access, secret)
        quote, operator, message = demand["quote"], demand["operator"], demand["message"]
        return " ".join([":", *(f"{quote}${{{name}{operator}{message}}}{quote}" for name in names)])
    if "[[" in test:
        return _PREDICATE.sub(lambda found: _double(found, test, access, secret), test)
    return _SINGLE.sub(lambda found: _single(found, test, access, secret, grouped=grouped), test)


def _pair(predicate: str, access: str, secret: str) -> tuple[str, str]:
    return re.sub(_VARIABLE, access, predicate), re.sub(_VARIABLE, secret, predicate)


def _double(found: re.Match[str], test: str, access: str, secret: str) -> str:
    first, second = _pair(found.group(), access, secret)
    joined = f"{first} {'||' if found['empty'] else '&&'} {second}"
    alone = re.fullmatch(r"(?:if\s+)?\[\[\s+" + re.escape(found.group()) + r"\s+\]\]", test.strip())
    return joined if alone else f"( {joined} )"


def _single(found: re.Match[str], test: str, access: str, secret: str, *, grouped: bool) -> str:
    predicate = _PREDICATE.search(found.group())
    if predicate is None:
        return found.group()
    first, second = _pair(found.group(), access, secret)
    joined = f"{first} {'||' if predicate['empty'] else '&&'} {second}"
    alone = not grouped and found.group().strip() == test.strip()
    return joined if alone else "{ " + joined + "; }"
