set shell := ["bash", "-cu"]

# The daily recipes. Each only calls a script or a tool of the development environment, so nothing here is needed to work.

python := shell('. scripts/lib/setup.sh && use_environment dev constraints.txt >&2 && echo "$python"')
cache := shell('. scripts/lib/setup.sh && echo "$cache"') / "checks"
export PYTHONPATH := justfile_directory()

# show the recipes
default:
    @just --list

# everything, on real programs and servers
test *arguments:
    ./scripts/test {{ arguments }}

# lint, types and the fast tests
fast *arguments:
    ./scripts/test --fast {{ arguments }}

# lint and types only
lint:
    {{ python }} -m ruff check --cache-dir {{ cache }}/ruff .
    {{ python }} -m ruff format --cache-dir {{ cache }}/ruff --check .
    {{ python }} -m mypy --cache-dir {{ cache }}/mypy

# format the code, and mend what the linter can mend
fmt:
    {{ python }} -m ruff check --cache-dir {{ cache }}/ruff --fix .
    {{ python }} -m ruff format --cache-dir {{ cache }}/ruff .

# the main job on the sample estate
demo *arguments:
    ./scripts/demo {{ arguments }}

# times against the built-in migration
bench *arguments:
    ./scripts/bench {{ arguments }}

# pin the dependencies again
lock *arguments:
    ./scripts/lock {{ arguments }}

# where each external program is found
programs:
    ./scripts/programs list
