"""What every command is called with: which repository, which configuration, and how to speak."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from migrator.errors import UsageError
from migrator.inventory.tree import RepositoryTree, discover_root, discover_tree
from migrator.journal.home import Home
from migrator.report.output import Output
from migrator.settings import FILE_NAME, Settings, read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of the program."""

    config: Path | None
    repo: Path | None
    output: Output

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that credentials are read from."""
        return os.environ

    @property
    def root(self) -> Path:
        """The top of the repository.

        Raises: UsageError.
        """
        if self.repo is None:
            return discover_root(Path.cwd())
        if not self.repo.is_dir():
            raise UsageError(f"{self.repo} is not a directory", where="--repo", hint="migrator --repo DIR ...")
        return self.repo.resolve()

    @property
    def home(self) -> Home:
        """``.migrator`` of the repository."""
        return Home(self.root)

    @property
    def config_path(self) -> Path:
        """The configuration file: as given, or the first found from the working directory (or repository) upward."""
        if self.config is not None:
            return self.config
        root = self.root
        start = Path.cwd() if self.repo is None else root
        for directory in (start, *start.parents):
            if (directory / FILE_NAME).is_file():
                return directory / FILE_NAME
            if directory == root:
                break
        return root / FILE_NAME

    def read_settings(self) -> Settings:
        """Return the settings.

        Raises: ConfigurationError.
        """
        return read_settings(self.config_path, self.environment)

    def discover_tree(self) -> RepositoryTree:
        """Return the files of the repository."""
        return discover_tree(self.root)


def read_clock() -> str:
    """Return the time as RFC 3339 UTC text with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
