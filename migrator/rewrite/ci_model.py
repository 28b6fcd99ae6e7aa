"""What a CI file says about jobs: the words of ``yaml_jobs`` (which reads them) and ``job_graph`` (which resolves them).

Nothing is inherited or evaluated here: a job holds what its own lines say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrator.rewrite.spans import Span
from migrator.rewrite.yaml_tree import YamlScalar

SECTIONS = ("before_script", "script", "after_script")


@dataclass(frozen=True, slots=True, kw_only=True)
class CiVariable:
    """One variable as written; ``value`` is None when it is not a scalar. ``span`` covers key and value."""

    name: str
    value: str | None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class CiReference:
    """``!reference [job, key, ...]``."""

    path: tuple[str, ...]
    span: Span


ScriptItem = YamlScalar | CiReference


@dataclass(frozen=True, slots=True, kw_only=True)
class CiStep:
    """A step of a GitHub job; ``run`` is None for an action."""

    span: Span
    variables: Mapping[str, CiVariable]
    run: YamlScalar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CiJob:
    """A job as written in one file: nothing inherited is in it, except by YAML merge keys.

    ``scripts`` maps a section (``before_script`` ...) to its items, aliases resolved; a section that is absent inherits.
    ``environment`` is the name of the deployment environment, ``needs`` are job names.
    """

    name: str
    span: Span
    extends: tuple[str, ...] = ()
    variables: Mapping[str, CiVariable] = field(default_factory=dict)
    scripts: Mapping[str, tuple[ScriptItem, ...]] = field(default_factory=dict)
    steps: tuple[CiStep, ...] = ()
    environment: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def hidden(self) -> bool:
        """Templates begin with a dot and never run themselves."""
        return self.name.startswith(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One CI file. ``dialect`` is ``gitlab``, ``github`` or ``other`` (then only ``dialect`` means something).

    ``includes`` are the local paths and components that GitLab merges in, as written.
    """

    dialect: str
    variables: Mapping[str, CiVariable] = field(default_factory=dict)
    default: CiJob | None = None
    jobs: Mapping[str, CiJob] = field(default_factory=dict)
    includes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRun:
    """A job that runs a script, with the variables that the script then sees.

    ``missing`` are the templates that it extends and that no file here holds: they may set more.
    """

    job: str
    hidden: bool
    variables: Mapping[str, str]
    missing: tuple[str, ...] = ()
