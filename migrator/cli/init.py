"""``migrator init``: write a commented ``migrator.toml`` from what the repository says."""

import re
from pathlib import Path

import typer
from rich.markup import escape

from migrator.cli.invocation import Invocation
from migrator.errors import ConfigurationError, RefusedError
from migrator.inventory.discover import discover_inventory
from migrator.inventory.git import ask_git
from migrator.inventory.model import Inventory
from migrator.settings import FILE_NAME, FORMAT


def init(context: typer.Context) -> None:
    """Write a commented migrator.toml at the top of the repository. Never overwrites one.

    Example: migrator init
    """
    invocation: Invocation = context.obj
    root = invocation.root
    path = invocation.config or root / FILE_NAME
    text = build_settings_text(discover_inventory(invocation.discover_tree()), _read_remote(root))
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise RefusedError(
            f"{path.name} exists already", where=str(path), now="it was left as it is", hint="migrator plan"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path.name} cannot be written: {error.strerror}",
            where=str(path),
            hint="make the directory writable, or name another file with --config",
        ) from None
    shown = path.resolve().relative_to(root).as_posix() if path.resolve().is_relative_to(root) else path.as_posix()
    invocation.output.say(f"written to {escape(str(shown))}\nnext: fill in source and target, then: migrator probe")
    invocation.output.document({"format": "migrator.init/1", "path": shown})


def build_settings_text(inventory: Inventory, remote: tuple[str, str] | None) -> str:
    """Return the file: required settings filled in as far as known, the rest commented with its default."""
    url, project = remote or ("https://gitlab.example.com", "group/project")
    guessed = "" if remote else "   # not known: there is no GitLab remote called origin"
    return f"""# What migrator needs to know. No secret belongs in this file: it names environment variables.
format = "{FORMAT}"

[source]                                   # GitLab's HTTP state backend
url = "{url}"{guessed}
project = "{project}"                      # path or numeric id; the plan pins the id
token_env = "GITLAB_TOKEN"                 # role Maintainer, scope api
# username = "gitlab-ci-token"             # set to send the token as HTTP basic (CI job tokens)

[target]                                   # an S3-compatible store
endpoint = "https://s3.example.internal:9000"
bucket = "tofu-state"
region = "us-east-1"
key = "{{project_path}}/{{state}}/terraform.tfstate"   # fields: project_path project_id stack environment state
path_style = true
access_key_env = "AWS_ACCESS_KEY_ID"
secret_key_env = "AWS_SECRET_ACCESS_KEY"
# session_token_env = "AWS_SESSION_TOKEN"
# ca_bundle = "/etc/ssl/private-ca.pem"
# run_prefix = ".migrator"                 # runs are mirrored below it, for a rollback elsewhere; "": on this machine only
style = "inline"                           # or: partial (one backend file per state)

[tools]
tofu = "tofu"                              # or: terraform; resolved from here, then $TOFU, then PATH

[proof]
plan = "required"                          # or: init-only, off (recorded in the plan)

# Each state of the source belongs to one (stack, environment). What the files establish:
{_build_known(inventory)}
# Bind what they do not, one table each:
# [[state]]
# name = "runners-dev"                     # name at the source
# stack = "gitlab-runners"
# environment = "dev"
# var_files = ["dev.tfvars"]               # for the proof by plan, relative to the stack

# [[exclude]]
# state = "scratch-*"
# reason = "why it stays where it is"

# [[acknowledge]]                          # take a blocker upon yourself; the plan keeps the reason
# code = "unsafe-target"
# reason = "..."
"""


def _build_known(inventory: Inventory) -> str:
    rows = sorted(
        {
            _comment(f"{state.name:<28} {stack.name}, {state.environment or 'environment not known offline'}")
            for stack in inventory.stacks
            for state in stack.states
        }
    )
    return "\n".join(rows) if rows else "#   (none)"


def _comment(text: str) -> str:
    """Names come from files: whatever they hold, a comment stays one line."""
    return "#   " + "".join(letter if letter.isprintable() else "?" for letter in text)


def _read_remote(root: Path) -> tuple[str, str] | None:
    """Return (base URL, project path) of the remote called origin, if it looks like a GitLab project."""
    found = (ask_git(root, "remote", "get-url", "origin") or "").strip()
    match = re.fullmatch(
        r"(?:https?://(?:[^@/]+@)?|ssh://git@|git@)([\w.-]+)(?::\d+)?[/:]([\w./~+-]+?)(?:\.git)?/?", found
    )
    return (f"https://{match[1]}", match[2]) if match and "github.com" not in match[1] else None
