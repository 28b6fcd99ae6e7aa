"""What README.md says about ``tofu init -migrate-state``, shown with the real program, our GitLab and a real S3 server.

Each test ends with what the built-in migration leaves; where there is one, the control shows that the raw bytes do better.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.estate_lab import Finished, Lab
from tests.support.s3_servers import S3Server

STATE = "built-in"
KEY = f"{STATE}/terraform.tfstate"


class Operator:
    """Somebody with one small stack, whose state is in GitLab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.directory = lab.directory / "stack"
        self.directory.mkdir()
        self.write_resource("one")
        self.name_source()
        self.tofu("init")
        self.tofu("apply", "-auto-approve")
        self.write_resource("two")
        self.tofu("apply", "-auto-approve")  # serial 2, so that a serial that starts again is seen

    def write_resource(self, value: str) -> None:
        (self.directory / "main.tf").write_text(f'resource "terraform_data" "it" {{\n  input = "{value}"\n}}\n')

    def name_source(self) -> None:
        address = f"{self.lab.gitlab.url}/api/v4/projects/84/terraform/state/{STATE}"
        settings = {"address": address, "lock_address": f"{address}/lock", "unlock_address": f"{address}/lock"}
        settings |= {"lock_method": "POST", "unlock_method": "DELETE", "username": "maint"}
        self._write_backend("http", "".join(f"  {name} = {json.dumps(text)}\n" for name, text in settings.items()))

    def name_target(self) -> None:
        lines = [
            f'bucket = "{self.lab.bucket}"', f'key = "{KEY}"', 'region = "us-east-1"', "use_path_style = true",
            f'endpoints = {{ s3 = "{self.lab.server.endpoint}" }}', "use_lockfile = true",
            "skip_credentials_validation = true", "skip_region_validation = true", "skip_requesting_account_id = true",
            "skip_metadata_api_check = true", "skip_s3_checksum = true",
        ]  # fmt: skip
        self._write_backend("s3", "".join(f"  {line}\n" for line in lines))

    def _write_backend(self, kind: str, body: str) -> None:
        (self.directory / "backend.tf").write_text(f'terraform {{\n  backend "{kind}" {{\n{body}  }}\n}}\n')

    def tofu(self, *arguments: str, expect: int = 0, directory: Path | None = None) -> Finished:
        command = [str(self.lab.client), *arguments, "-no-color"]
        return self.lab.run(command, credentials="both", directory=directory or self.directory, expect=expect)

    def migrate_state(self, *, directory: Path | None = None) -> Finished:
        return self.tofu("init", "-migrate-state", "-force-copy", "-input=false", directory=directory)

    def source(self) -> dict[str, Any]:
        return json.loads(self.lab.gitlab.document(STATE))

    def target(self) -> dict[str, Any]:
        return json.loads(self.lab.objects()[KEY])


@pytest.fixture
def operator(minio: S3Server, make_lab: Callable[..., Lab]) -> Operator:
    return Operator(make_lab(minio, states={}))


def identity(state: dict[str, Any]) -> tuple[str, int]:
    return state["lineage"], state["serial"]


def test_lineage_and_serial_are_dropped(operator: Operator) -> None:
    before = operator.source()
    assert before["serial"] == 2
    operator.name_target()
    operator.migrate_state()
    after = operator.target()
    assert after["resources"] == before["resources"]
    assert after["lineage"] != before["lineage"]
    assert after["serial"] == 1


def test_a_raw_copy_keeps_them_and_is_a_state_that_the_client_goes_on_with(operator: Operator) -> None:
    before = operator.lab.gitlab.document(STATE)
    operator.lab.s3.put_object(Bucket=operator.lab.bucket, Key=KEY, Body=before)
    operator.name_target()
    operator.tofu("init", "-reconfigure")
    operator.tofu("plan", "-detailed-exitcode")
    assert operator.lab.objects()[KEY] == before
    operator.write_resource("three")
    operator.tofu("apply", "-auto-approve")
    lineage, serial = identity(json.loads(before))
    assert identity(operator.target()) == (lineage, serial + 1)


def test_a_fresh_checkout_migrates_nothing_and_says_that_all_is_well(operator: Operator) -> None:
    fresh = operator.lab.directory / "fresh"
    operator.name_target()
    shutil.copytree(operator.directory, fresh, ignore=shutil.ignore_patterns(".terraform"))
    done = operator.migrate_state(directory=fresh)
    assert "Successfully configured the backend" in done.text
    assert operator.lab.objects() == {}
    assert "1 to add" in operator.tofu("plan", directory=fresh).out


def test_force_copy_overwrites_a_state_of_somebody_else(operator: Operator) -> None:
    other = {**operator.source(), "lineage": "11111111-2222-3333-4444-555555555555", "serial": 7, "resources": []}
    operator.lab.s3.put_object(Bucket=operator.lab.bucket, Key=KEY, Body=json.dumps(other).encode())
    operator.name_target()
    operator.migrate_state()
    assert operator.target()["resources"] == operator.source()["resources"]


def test_the_source_stays_open_to_a_stale_checkout(operator: Operator) -> None:
    stale = operator.lab.directory / "stale"
    shutil.copytree(operator.directory, stale)
    operator.name_target()
    operator.migrate_state()
    (stale / "main.tf").write_text('resource "terraform_data" "it" {\n  input = "stale"\n}\n')
    operator.tofu("apply", "-auto-approve", directory=stale)
    assert operator.source()["serial"] == 3


def test_there_is_no_way_back_once_the_target_moved_on(operator: Operator) -> None:
    operator.name_target()
    operator.migrate_state()
    operator.write_resource("three")
    operator.tofu("apply", "-auto-approve")
    (operator.directory / "newest.tfstate").write_text(operator.tofu("state", "pull").out)
    operator.name_source()
    operator.tofu("init", "-reconfigure")
    refused = operator.lab.run(
        [str(operator.lab.client), "state", "push", "newest.tfstate"],
        credentials="both", directory=operator.directory, expect=1,
    )  # fmt: skip
    assert "unrelated state" in " ".join(refused.text.split())
    assert operator.source()["serial"] == 2
