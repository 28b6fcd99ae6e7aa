"""The backend file of one state (style ``partial``): the arguments of the s3 backend, as ``tofu init`` reads them."""

from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.hcl import align, build_arguments


def build_backend_file(target: TargetCoordinates, key: str) -> str:
    """Return the whole file for the state at ``key``; it never holds a credential."""
    escaped = key.replace("${", "$${").replace("%{", "%%{")
    return "\n".join([*align(build_arguments(target, key=escaped, lock=True)), ""])
