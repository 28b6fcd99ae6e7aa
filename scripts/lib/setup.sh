# shellcheck shell=bash
# Sourced by the scripts: where the checkout and the cache are, and a Python environment that has what they need.
# Sets `top` and `cache`; `use_environment` sets `python`. When all is there it starts no program but sha256sum.

set -euo pipefail
unset CDPATH
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${MIGRATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tofu-state-migrator}
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
export MIGRATOR_CACHE=$cache

# Nothing is written into the checkout, neither by us nor by what we start.
export PYTHONPYCACHEPREFIX=$cache/pycache
export PYTHONPATH=$top
export PYTHONSAFEPATH=1 # a folder `migrator` in the operator's directory must not shadow ours

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# usage FILE: print the comment at the top of a script, which is its --help.
usage() {
  sed -n '2,/^$/{s/^# \{0,1\}//;p;}' "$1"
}

# find_python: print a Python >= 3.11 that can make virtual environments.
find_python() {
  local candidate found=''
  for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    found=$candidate
    "$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue
    printf '%s\n' "$candidate"
    return
  done
  [[ -z $found ]] || die "$found has no venv module. On Debian: apt-get install python3-venv"
  die "no Python >= 3.11 was found. On Debian: apt-get install python3 python3-venv; or name one: PYTHON=/path/to/python3"
}

# use_environment NAME REQUIREMENTS: set `python` to the interpreter of an environment with these requirements.
use_environment() {
  local requirements=$top/$2 key base
  key=$({ cat "$requirements" && printf '%s\n' "${PYTHON:-}"; } | { sha256sum 2>/dev/null || shasum -a 256; })
  local directory=$cache/environments/$1-${key:0:12}
  python=$directory/bin/python
  [[ -e $directory/.complete && -x $python ]] && return
  base=$(find_python)
  "$base" -m scripts.lib.environments "$directory" "$requirements"
}
