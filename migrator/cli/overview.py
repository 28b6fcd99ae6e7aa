"""The overview that ``migrator --help`` prints; plain text, so that it costs nothing to show."""

OVERVIEW = """\
Usage: migrator [OPTIONS] COMMAND [ARGS]...

Move the state authority of OpenTofu stacks from GitLab's HTTP backend to an
S3-compatible store, and back.

Prepare:
  init        write a commented migrator.toml
  inventory   list stacks, their states and every line that says where state lives
  audit       say who is the authority for what, and where files contradict each other
  probe       ask the target whether its bucket may hold state
  rehearse    play the whole migration on a copy of this repository, without credentials
  demo        the same on a sample estate, told as a story

Migrate:
  plan        decide what will be done, and write it down for review
  migrate     carry out a plan; running it again resumes
  verify      check states, seals and files against what the run left
  status      say what is true of a run, offline

Afterwards:
  rollback    return the authority to GitLab, with what changed since
  finalize    give up the way back

Options (before or after the command):
  --config FILE   migrator.toml to use; default: searched upward
  --repo DIR      the repository; default: the top of the work tree
  --json          one JSON document on stdout, everything else on stderr
  -q, --quiet     less text        -v, --verbose   more text (repeatable)
  --no-color      plain text (also: NO_COLOR)
  --version       the version      --help          this text; after a command: its help

Exit codes: 0 done  1 bug  2 usage  3 a check says no  4 refused, nothing done
            5 stopped part-way, resume  6 a backend is out of reach  130 interrupted

Example:
  migrator plan && migrator migrate && migrator verify
"""

COMMANDS = (
    "init",
    "inventory",
    "audit",
    "probe",
    "rehearse",
    "demo",
    "plan",
    "migrate",
    "verify",
    "status",
    "rollback",
    "finalize",
)
