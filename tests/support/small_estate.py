"""A repository of two stacks and three states, which needs no provider: quick enough to be migrated many times."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

STATES: Mapping[str, tuple[str, str]] = {
    "dns-dev": ("dns", "dev"),
    "dns-prod": ("dns", "prod"),
    "network-prod": ("network", "prod"),
}
_MAIN = """\
variable "zone" {
  type    = string
  default = "example.com"
}

output "zone" {
  value = var.zone
}
"""
_JUSTFILE = """\
env := "prod"
tofu_bin := env_var_or_default("TOFU", "tofu")
gitlab := env_var("GITLAB_API_URL")

# Initialize
init:
    {{{{tofu_bin}}}} init -reconfigure -input=false \\
      -backend-config="address={{{{gitlab}}}}/projects/84/terraform/state/{stack}-{{{{env}}}}" \\
      -backend-config="lock_address={{{{gitlab}}}}/projects/84/terraform/state/{stack}-{{{{env}}}}/lock" \\
      -backend-config="unlock_address={{{{gitlab}}}}/projects/84/terraform/state/{stack}-{{{{env}}}}/lock" \\
      -backend-config="lock_method=POST" \\
      -backend-config="unlock_method=DELETE" \\
      -backend-config="username=tofu" \\
      -backend-config="password=${{TF_HTTP_PASSWORD}}"
"""


def build_document(name: str, serial: int, *, zone: str = "example.com") -> bytes:
    """A state as OpenTofu writes it, whose plan is empty with the variable's default."""
    return (
        json.dumps(
            {
                "version": 4,
                "terraform_version": "1.12.6",
                "serial": serial,
                "lineage": f"00000000-0000-4000-8000-{sorted(STATES).index(name):012d}",
                "outputs": {"zone": {"value": zone, "type": "string"}},
                "resources": [],
                "check_results": None,
            },
            indent=2,
        ).encode()
        + b"\n"
    )


def build_states() -> dict[str, list[bytes]]:
    """Two versions of each state, oldest first."""
    return {name: [build_document(name, 1, zone="first.example.com"), build_document(name, 4)] for name in STATES}


def build_repository(destination: Path) -> None:
    """Write the stacks and commit them."""
    for stack in {stack for stack, _ in STATES.values()}:
        directory = destination / "stacks" / stack
        directory.mkdir(parents=True)
        (directory / "backend.tf").write_text('terraform {\n  backend "http" {}\n}\n')
        (directory / "main.tf").write_text(_MAIN)
        (directory / "Justfile").write_text(_JUSTFILE.format(stack=stack))
    (destination / ".gitignore").write_text(".terraform/\n")
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        (*who, "commit", "--quiet", "--message", "Two stacks"),
    ):
        subprocess.run(["git", *command], cwd=destination, check=True)


def bind_states(text: str) -> str:
    """Return migrator.toml with the states of this estate in place of the sample's."""
    tables = (
        f'[[state]]\nname = "{name}"\nstack = "{stack}"\nenvironment = "{environment}"\n'
        for name, (stack, environment) in STATES.items()
    )
    return text.partition("[[state]]")[0] + "\n".join(tables)
