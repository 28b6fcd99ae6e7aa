"""The servers and the repository of a benchmark, in a temporary directory."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.s3_servers import S3Server, start_minio

TOKEN = "glpat-benchmark"  # noqa: S105 - known to the stand-in of this run only
PROJECT = 84


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Running servers with ``names`` as states at the source; ``endpoint`` and ``url`` may lead through a delay."""

    directory: Path
    repository: Path
    url: str
    endpoint: str
    names: tuple[str, ...]
    s3: S3Server

    @property
    def environment(self) -> dict[str, str]:
        """What commands run with."""
        return {
            **os.environ,
            "GITLAB_TOKEN": TOKEN,
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "TF_HTTP_USERNAME": "bench",
            "TF_HTTP_PASSWORD": TOKEN,
            "TF_CLI_CONFIG_FILE": os.devnull,
            "CHECKPOINT_DISABLE": "1",
        }

    @property
    def states_url(self) -> str:
        """The address below which the states stand."""
        return f"{self.url}/api/v4/projects/{PROJECT}/terraform/state"

    def migrator(self, *arguments: str) -> None:
        """Run one command of the program on the repository; it must succeed."""
        command = [sys.executable, "-m", "migrator", "--repo", str(self.repository), "--quiet", *arguments]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def open_lab(directory: Path, count: int, *, milliseconds: int = 0, size: int = 8192) -> Iterator[Lab]:
    """Start a source with ``count`` states of ``size`` bytes and an empty MinIO bucket."""
    directory.mkdir(parents=True)
    names = tuple(f"many-e{number:05}" for number in range(count))
    with ExitStack() as stack:
        url = stack.enter_context(_listening("migrator.standin", *_configure_source(directory, names, size)))
        server = start_minio(Path(os.environ["MINIO"]), directory / "disk")
        stack.callback(server.stop)
        server.create_bucket("tofu-state")
        endpoint = server.endpoint
        if milliseconds:
            delay = ("scripts.lib.delay_proxy", "{port}", str(milliseconds))
            url, endpoint = (
                stack.enter_context(_listening(*(part.format(port=address.rpartition(":")[2]) for part in delay)))
                for address in (url, endpoint)
            )
        repository = _write_repository(directory / "repository", names, url, endpoint)
        yield Lab(directory=directory, repository=repository, url=url, endpoint=endpoint, names=names, s3=server)


def build_document(name: str, size: int) -> str:
    """Return a state document of about ``size`` bytes."""
    document = {
        "version": 4,
        "terraform_version": "1.12.6",
        "serial": 7,
        "lineage": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "outputs": {"filler": {"value": "x" * max(0, size - 250), "type": "string"}},
        "resources": [],
        "check_results": None,
    }
    return json.dumps(document) + "\n"


def _configure_source(directory: Path, names: tuple[str, ...], size: int) -> tuple[str, ...]:
    documents = directory / "documents"
    documents.mkdir()
    for name in names:
        (documents / name).write_text(build_document(name, size))
    configuration = {
        "format": "gitlab-standin/1",
        "projects": [{"id": PROJECT, "path": "acme/infra"}],
        "tokens": [
            {"value": TOKEN, "kind": "pat", "user": "maint", "scopes": ["api"], "roles": {str(PROJECT): "maintainer"}}
        ],
        "states": [{"project": PROJECT, "name": name, "versions": [{"file": str(documents / name)}]} for name in names],
    }
    path = directory / "standin.json"
    path.write_text(json.dumps(configuration))
    return "--config", str(path), "--port", "0"


@contextmanager
def _listening(module: str, *arguments: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def _write_repository(repository: Path, names: tuple[str, ...], url: str, endpoint: str) -> Path:
    stack = repository / "stacks" / "many"
    stack.mkdir(parents=True)
    (stack / "backend.tf").write_text('terraform {\n  backend "http" {}\n}\n')
    (stack / "main.tf").write_text('output "filler" {\n  value = "x"\n}\n')
    tables = "".join(
        f'\n[[state]]\nname = "{name}"\nstack = "many"\nenvironment = "{name.removeprefix("many-")}"\n'
        for name in names
    )
    (repository / "migrator.toml").write_text(
        f"""format = "migrator.config/1"
[source]
url = "{url}"
project = {PROJECT}
[target]
endpoint = "{endpoint}"
bucket = "tofu-state"
[proof]
plan = "off"
{tables}"""
    )
    return repository
