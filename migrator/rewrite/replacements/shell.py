"""Shell: flags of init, exports, tests, commands of GitLab's API, and messages.

Indentation, quotes, continuation lines and the behaviour on failure stay as they stand; credentials are never written,
they reach OpenTofu by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import re

from migrator.rewrite.credential_tests import rewrite_test
from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements.claims import build_sentence, replace_phrases
from migrator.rewrite.replacements.comments import build_comment
from migrator.rewrite.replacements.messages import build_message, build_test_lines
from migrator.rewrite.replacements.wording import (
    ACCESS_KEY,
    SECRET_KEY,
    CannotReplaceError,
    build_key,
    build_setting,
)

_FLAG = re.compile(
    r"^(?P<open>(?:[\"']?)--?backend-config(?:=|(?:\s|\\\r?\n)+)[\"']?)[a-z_]+=(?P<quote>[\"']?).*?(?P<close>[\"']*)$",
    re.DOTALL,
)
_TEST = re.compile(r"\[\[.*?\]\]|\[\s.*?\s\]|\btest\s[^;|&\n]*[^;|&\s]|:\s+\"?\$\{TF_HTTP_\w+:?\?[^}]*\}\"?", re.DOTALL)


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    builder = _BUILDERS.get(located.kind)
    if builder is None:
        raise CannotReplaceError(f"{located.kind} has no replacement in shell")
    return builder(located, text, target)


def build_object_url(located: Located, target: TargetCoordinates) -> str:
    """Return ``s3://bucket/key`` of the state of a reference."""
    return f"s3://{target.bucket}/{_key(located, target)}"


def _key(located: Located, target: TargetCoordinates) -> str:
    if located.state is None:
        raise CannotReplaceError("nothing here says which state is meant")
    detail = located.detail
    if located.state == "...":
        return "..."
    return build_key(target, located.state, stack=detail.get("stack"), environment=detail.get("environment"))


def _setting(located: Located, target: TargetCoordinates) -> str:
    """Return what follows ``-backend-config=``."""
    if located.state is None:
        raise CannotReplaceError("nothing here says which state is meant")
    if located.state == "...":
        return build_setting(target, "<state>") if target.style == "partial" else "key=..."
    detail = located.detail
    return build_setting(target, located.state, stack=detail.get("stack"), environment=detail.get("environment"))


def _build_flags(located: Located, text: str, target: TargetCoordinates) -> str:
    original = located.span.of(text)
    form = _FLAG.match(located.detail["flag"])
    setting = _setting(located, target)
    if form is None or (form["quote"] and not form["close"]):
        flag = f'-backend-config="{setting}"'
    elif form["quote"]:
        name, _, value = setting.rpartition("=")
        flag = form["open"] + (f"{name}=" if name else "") + form["quote"] + value + form["close"]
    else:
        flag = form["open"] + setting + form["close"]
    arguments = [] if located.detail["reconfigure"] == "present" else ["-reconfigure"]
    arguments.append(flag)
    arguments += [one for one in located.detail["kept"].split("\n") if one]
    return _separator(located, text, original).join(arguments)


def _separator(located: Located, text: str, original: str) -> str:
    found = re.search(r"[ \t]*(?:\\\r?)?\n[ \t]*", original)
    return found.group() if found else " "


def _build_bare(located: Located, text: str, target: TargetCoordinates) -> str:
    reconfigure = "" if located.detail["reconfigure"] == "present" else " -reconfigure"
    return f'init{reconfigure} -backend-config="{_setting(located, target)}"'


def _build_export(located: Located, text: str, target: TargetCoordinates) -> str:
    if located.detail.get("credentials") == "yes":
        return _build_credential_exports(located, text, target)
    if located.detail.get("credentials") == "joined":
        export = "export " if "export" in located.span.of(text) else ""
        return f'{export}{ACCESS_KEY}="..." {SECRET_KEY}="..."'
    if located.detail.get("credentials") == "written":
        return _build_written_example(located, text)
    return located.detail["instead"]


def _build_written_example(located: Located, text: str) -> str:
    """Return a command for each key; in a text of one line (a scalar of YAML) both stand on it."""
    value = re.compile(r"TF_HTTP_PASSWORD=[^\"'\s]*")
    commands = [value.sub(f"{name}=...", located.span.of(text)) for name in (ACCESS_KEY, SECRET_KEY)]
    lead = text[text.rfind("\n", 0, located.span.start) + 1 : located.span.start]
    if "\n" not in text or lead.strip() not in {"", "@"}:
        return " && ".join(commands)
    return (("\r\n" if "\r\n" in text else "\n") + lead).join(commands)


def _build_credential_exports(located: Located, text: str, target: TargetCoordinates) -> str:
    """Keep what shows a person how to set the password: two lines that show the two keys."""
    original = located.span.of(text)
    found = re.search(
        r"^(?P<indent>[ \t]*)(?P<before>(?:export\s+)?)TF_HTTP_PASSWORD=(?P<quote>[\"']?)(?P<value>[^\"'\s]*)[\"']?"
        r"(?P<after>[^\n]*?)(?P<end>\r?\n|$)",
        original,
        re.MULTILINE,
    )
    if found is None:
        return located.detail["instead"]
    value = "..." if found["value"] else ""
    newline = "\r\n" if "\r\n" in original else "\n"
    indent = found["indent"] if original[:1] in " \t" else _indent_of(text, located.span.start)
    lines = [f"{found['before']}{name}={found['quote']}{value}{found['quote']}" for name in (ACCESS_KEY, SECRET_KEY)]
    lines[0] += _kept_comment(found["after"], target)
    body = f"{newline}{indent}".join(lines)
    whole_lines = located.span.start == text.rfind("\n", 0, located.span.start) + 1
    return (indent if whole_lines else "") + body + (newline if original.endswith("\n") else "")


def _kept_comment(after: str, target: TargetCoordinates) -> str:
    """Return the comment behind an export, unless it is about the token."""
    comment = re.fullmatch(r"(?P<gap>\s+)#\s*(?P<said>.*\S)\s*", after)
    if comment is None or re.search(r"\btoken|\bPAT\b|glpat-|\bscope\b", comment["said"], re.IGNORECASE):
        return ""
    return f"{comment['gap']}# {build_sentence(comment['said'], target) or comment['said']}"


def _indent_of(text: str, position: int) -> str:
    found = re.compile(r"[ \t]*").match(text, text.rfind("\n", 0, position) + 1)
    return found.group() if found else ""


def _build_read(located: Located, text: str, target: TargetCoordinates) -> str:
    return build_object_url(located, target)


def _build_url(located: Located, text: str, target: TargetCoordinates) -> str:
    original = located.span.of(text)
    quote = original[0] if original[:1] in {'"', "'"} else '"'
    return f"{quote}{build_object_url(located, target)}{quote}"


def _build_check(located: Located, text: str, target: TargetCoordinates) -> str:
    original = located.span.of(text)
    conditional = re.match(r"(?:if|elif|while)\b", original) is not None
    tests = list(_TEST.finditer(original))
    many = not conditional and re.match(r"\s*(?:\|\||&&)", original[tests[0].end() :] if tests else "") is not None
    follows = re.match(r"[ \t]*(?:\|\||&&)", text[located.span.end :]) is not None

    def rewrite(found: re.Match[str]) -> str:
        if "TF_HTTP_" not in found.group():
            return found.group()
        around = original[: found.start()].rstrip().endswith(("||", "&&", "!"))
        joined = re.match(r"[ \t]*(?:\|\||&&)", original[found.end() :]) is not None
        grouped = many or follows or around or joined
        return rewrite_test(found.group(), access=ACCESS_KEY, secret=SECRET_KEY, grouped=grouped)

    pair = "TF_HTTP_USERNAME" in _condition_of(original) and "TF_HTTP_PASSWORD" in _condition_of(original)
    if pair:
        head = _condition_of(original)
        renamed = head.replace("TF_HTTP_USERNAME", ACCESS_KEY).replace("TF_HTTP_PASSWORD", SECRET_KEY)
        tested = renamed + original[len(head) :]
    else:
        tested = _TEST.sub(rewrite, original)
    lines = [line for old in tested.split("\n") for line in build_test_lines(old, target)]
    result = "\n".join(lines)
    if "TF_HTTP_" in result or re.search(rf"\$\{{?{ACCESS_KEY} (?:and|or|nor)\b", result):
        raise CannotReplaceError("the test says more about the source than any rule knows")
    return result


def _condition_of(statement: str) -> str:
    found = re.search(r"\bthen\b|\bdo\b|\|\|\s*(?:\{|echo)|&&\s*(?:\{|echo)", statement)
    return statement[: found.start()] if found else statement


def _build_list(located: Located, text: str, target: TargetCoordinates) -> str:
    prefix = target.key.split("{", 1)[0].rpartition("/")[0]
    url = f"s3://{target.bucket}/{prefix}/" if prefix else f"s3://{target.bucket}/"
    command = f'aws s3 ls --endpoint-url "{target.endpoint}" --recursive "{url}"'
    filters = "".join(f" | {one}" for one in located.detail["filters"].split("\n") if one)
    fallback = located.detail["fallback"]
    if fallback:
        fallback = re.sub(
            r"\((?:[^()]*(?:glab|gitlab|TF_HTTP_|token)[^()]*)\)",
            f"(is the aws command there, and are {ACCESS_KEY} and {SECRET_KEY} set?)",
            fallback,
            flags=re.IGNORECASE,
        )
        fallback = re.sub(r"\b(?:glab|GitLab)\b", "S3", replace_phrases(fallback, target))
    return command + filters + fallback


def _build_unlock(located: Located, text: str, target: TargetCoordinates) -> str:
    command = f'aws s3 rm --endpoint-url "{target.endpoint}" "{build_object_url(located, target)}.tflock"'
    note = 'echo "Only if nothing runs. Better, in the directory of the stack: tofu force-unlock LOCK_ID" >&2'
    if located.detail["statement"] != "yes":
        return command
    lead = text[text.rfind("\n", 0, located.span.start) + 1 : located.span.start]
    if lead.strip() not in {"", "@", "-", "@-", "-@"}:
        return command
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{note}{newline}{lead}{command}"


def _build_prose(located: Located, text: str, target: TargetCoordinates) -> str:
    return build_message(located.span.of(text), target)


_BUILDERS = {
    ReferenceKind.INIT_FLAGS: _build_flags,
    ReferenceKind.BARE_INIT: _build_bare,
    ReferenceKind.ENVIRONMENT_EXPORT: _build_export,
    ReferenceKind.ENVIRONMENT_READ: _build_read,
    ReferenceKind.CREDENTIAL_CHECK: _build_check,
    ReferenceKind.STATE_LIST: _build_list,
    ReferenceKind.STATE_UNLOCK: _build_unlock,
    ReferenceKind.STATE_URL: _build_url,
    ReferenceKind.BACKEND_COMMENT: build_comment,
    ReferenceKind.PROSE: _build_prose,
}
