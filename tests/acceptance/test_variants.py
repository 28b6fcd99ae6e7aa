"""The same story in other clothes: backend files, Terraform, encrypted states, and a bucket with versions."""

import json
from collections.abc import Callable
from pathlib import Path

from migrator.rehearsal.estate import sample_root
from tests.support.estate_lab import ENCRYPTED, STATES, Lab, read_sample_states, replace_setting
from tests.support.s3_servers import S3Server


def test_backend_files_for_each_state(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    """``style = "partial"``: one backend file per state, and the block holds nothing."""
    lab = make_lab(minio, settings=replace_setting("target.style", '"partial"'))
    lab.migrate()
    lab.check_migrated()
    lab.migrator("verify")
    created = lab.changed_files() - lab.files.keys()
    assert len(created) == len(STATES) + 4  # states that files name and nobody wrote yet
    assert all(lab.key(state) in "".join((lab.repository / path).read_text() for path in created) for state in STATES)
    for state in STATES:
        lab.check_empty_plan(state, credentials="target")
    assert lab.migrator("inventory", "--check").code == 0
    lab.just("attic-dev", "tofu-init", credentials="target")
    lab.tofu("attic-dev", "apply", "-auto-approve", "-var=retention_days=7", credentials="target")
    applied = lab.documents()
    lab.migrator("rollback", "--yes")
    lab.check_untouched(documents=applied)
    lab.just("attic-dev", "tofu-init", credentials="source")
    lab.tofu("attic-dev", "plan", "-detailed-exitcode", "-var=retention_days=7", credentials="source")


def test_terraform_proves_and_reads_what_was_moved(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    """``[tools] tofu`` names a Terraform: it proves the migration and works with both sides."""
    found = make_lab(minio, "terraform")
    lab = make_lab(minio, "terraform", settings=replace_setting("tools.tofu", json.dumps(str(found.client))))
    lab.migrator("plan", variables={"TOFU": "/nonexistent/tofu"})
    lab.migrator("migrate", "--yes", variables={"TOFU": "/nonexistent/tofu"})
    plan = json.loads((lab.repository / ".migrator" / "plan.json").read_bytes())
    assert plan["tofu"] == str(lab.client)
    assert plan["proof"] == "required"
    lab.check_migrated()
    lab.migrator("verify")
    for state in ("attic-dev", "gitlab-runners-prod", "arc-runners-dev"):
        lab.check_empty_plan(state, credentials="target")
    lab.migrator("rollback", "--yes")
    lab.check_untouched()
    lab.check_empty_plan("attic-prod", credentials="source")


def bind_encrypted(text: str) -> str:
    """Bind the ninth state, the attic stack under OpenTofu's state encryption, as an environment of its own."""
    return f'{text}\n[[state]]\nname = "{ENCRYPTED}"\nstack = "attic"\nenvironment = "encrypted"\n'


def read_encryption(*, fallback: bool) -> str:
    """The key of the encrypted state; with ``fallback`` states in clear are read too."""
    recipe: dict[str, str] = {
        "__name__": "record",
        "__file__": str(sample_root() / "fixtures" / "states" / "record.py"),
    }
    exec(compile(Path(recipe["__file__"]).read_text(), "record.py", "exec"), recipe)  # noqa: S102
    text = recipe["ENCRYPTION"]
    if fallback:
        text = text.replace("enforced = true", "fallback {\n    method = method.unencrypted.migration\n  }")
        text += '\nmethod "unencrypted" "migration" {}\n'
    return text


def test_an_encrypted_state_moves_without_its_key(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    """No key is anywhere: the bytes move as they are. Afterwards whoever has the key reads them at the target."""
    lab = make_lab(
        minio,
        states=read_sample_states(encrypted=True),
        settings=lambda text: bind_encrypted(replace_setting("proof.plan", '"off"')(text)),
    )
    lab.migrate()
    lab.check_migrated()
    assert b"encrypted_data" in lab.documents()[ENCRYPTED]
    assert lab.migrator("verify", "--json").document()["proof"] == "off"
    key = {"TF_ENCRYPTION": read_encryption(fallback=False)}
    lab.just(ENCRYPTED, "tofu-init", credentials="target", variables=key)
    lab.tofu(ENCRYPTED, "plan", "-detailed-exitcode", credentials="target", variables=key)
    lab.tofu(ENCRYPTED, "plan", credentials="target", expect=1)
    # Applied with the key, so that the newer state that is carried back is encrypted too.
    apply = ("apply", "-auto-approve", "-var=retention_days=7")
    lab.tofu(ENCRYPTED, *apply, credentials="target", variables=key)
    applied = lab.documents()
    assert applied[ENCRYPTED] != lab.newest()[ENCRYPTED]
    lab.migrator("rollback", "--yes")
    lab.check_untouched(documents=applied)


def test_an_encrypted_state_is_proved_with_the_key_of_the_environment(
    minio: S3Server, make_lab: Callable[..., Lab]
) -> None:
    key = {"TF_ENCRYPTION": read_encryption(fallback=True)}
    lab = make_lab(minio, states=read_sample_states(encrypted=True), settings=bind_encrypted, variables=key)
    lab.migrate()
    lab.check_migrated()
    proofs = [record for record in lab.journal() if record["kind"] == "done" and record["step"] == "prove"]
    assert {record["unit"] for record in proofs} == {*STATES, ENCRYPTED}
    assert all(record["body"]["mode"] == "plan" and record["body"]["target"] == 0 for record in proofs), proofs
    lab.migrator("rollback", "--yes")
    lab.check_untouched()


def test_a_bucket_with_versions(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    """Versions of what was removed may stay; locks work over them, and a second migration too."""
    lab = make_lab(minio, settings=replace_setting("proof.plan", '"off"'))
    lab.s3.put_bucket_versioning(Bucket=lab.bucket, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        lab.migrate()
        lab.check_migrated()
        lab.migrator("verify")
        lab.check_empty_plan("attic-dev", credentials="target")
        lab.migrator("rollback", "--yes")
        lab.check_untouched()
