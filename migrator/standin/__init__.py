"""A stand-in for GitLab's HTTP state backend, for demos, rehearsals and tests.

It listens on 127.0.0.1, needs the standard library only, and imports nothing else of this package. Deliberately not a
GitLab: only what a client of the state API can see.
"""

from migrator.standin.configuration import (
    Configuration,
    ConfigurationError,
    Fault,
    Project,
    ProtectionRule,
    SeededLock,
    SeededState,
    SeededVersion,
    Token,
    parse_configuration,
    read_configuration,
)
from migrator.standin.model import Lock, RuleRow, StateTruth
from migrator.standin.server import Exchange, Standin

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Exchange",
    "Fault",
    "Lock",
    "Project",
    "ProtectionRule",
    "RuleRow",
    "SeededLock",
    "SeededState",
    "SeededVersion",
    "Standin",
    "StateTruth",
    "Token",
    "parse_configuration",
    "read_configuration",
]
