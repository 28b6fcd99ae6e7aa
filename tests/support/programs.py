"""The external programs of the acceptance tests, each named by an environment variable or found beside us or on PATH.

A missing program is a failure, never a skip: `scripts/test` finds or builds all of them. RustFS alone is taken only where it is
found, except in CI, where it too must be there.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# What a child Python needs to run our code, and to leave nothing in the checkout.
_KEPT = ("PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
OUR_CODE = {"PYTHONPATH": str(CHECKOUT), **{name: os.environ[name] for name in _KEPT if name in os.environ}}
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def require_program(name: str, *, variable: str | None = None) -> Path:
    """The program that ``variable`` (default: NAME) names, else the one called ``name``."""
    variable = variable or name.upper()
    found = shutil.which(os.environ.get(variable) or name, path=SEARCH_PATH)
    if found is None:
        pytest.fail(f"{name} is missing: set {variable}, or run the tests with scripts/test, which finds or builds it")
    return Path(found)


def wants_rustfs() -> bool:
    """Whether RustFS takes part: where it is found, and always in CI."""
    found = shutil.which(os.environ.get("RUSTFS") or "rustfs", path=SEARCH_PATH)
    return found is not None or os.environ.get("CI") == "true"
