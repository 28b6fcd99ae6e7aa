"""What a repository names is not run because the repository names it."""

import os
import stat

import pytest

from migrator.cli.tofu_program import check_program
from migrator.errors import RefusedError
from tests.cli.test_bad_input import check_told

VERSION = "#!/bin/sh\necho \"$@\" >> '{told}'\nenv >> '{told}'\necho 'OpenTofu v1.12.6'\n"


@pytest.fixture
def told(tmp_path):
    return tmp_path / "told"


@pytest.fixture
def make_program(told):
    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(VERSION.format(told=told))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


@pytest.fixture
def proving(make_lab):
    return make_lab(proof="required")


@pytest.mark.parametrize("name", ["./tofu", "bin/tofu", "{repo}/tofu", "../repo/tofu", "{outside}/link/tofu"])
def test_a_program_of_the_repository_is_not_run(proving, make_program, told, tmp_path, name):
    for path in ("tofu", "bin/tofu"):
        make_program(proving.repo / path)
    (tmp_path / "link").symlink_to(proving.repo)
    configured = name.format(repo=proving.repo, outside=tmp_path)
    proving.write_settings(more=f'[tools]\ntofu = "{configured}"\n')
    check_told(
        proving.run("plan"), code=4, what="lies in the repository", where="[tools] tofu", now="not run", then="TOFU"
    )
    assert not told.exists()


def test_an_interpreter_that_would_run_a_file_called_version_is_not_run(proving, make_program, told):
    make_program(proving.repo / "version")
    proving.write_settings(more='[tools]\ntofu = "sh"\n')
    check_told(proving.run("plan"), code=4, what="is not called tofu or terraform", where="[tools] tofu")
    assert not told.exists()


def test_the_operator_may_name_any_program_and_it_gets_no_credential_to_tell_its_version(proving, make_program, told):
    program = make_program(proving.repo / "bin" / "wrapper")
    done = proving.run("plan", TOFU=str(program))
    assert done.code == 0, done.err
    assert told.read_text().startswith("version\n")
    for name in ("GITLAB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"{name}=" not in told.read_text()


def test_a_program_elsewhere_that_is_called_so_is_run(proving, make_program, tmp_path, told):
    program = make_program(tmp_path / "bin" / "tofu-1.12")
    proving.write_settings(more=f'[tools]\ntofu = "{program}"\n')
    assert proving.run("plan").code == 0
    assert told.exists()


def test_a_plan_that_names_a_program_of_the_repository_is_refused_before_a_run_exists(proving, make_program, told):
    program = make_program(proving.repo / "bin" / "tofu")
    assert proving.run("plan", TOFU=str(program)).code == 0
    told.unlink()
    check_told(proving.run("migrate", "--yes", TOFU=""), code=4, what="lies in the repository", now="not run")
    assert not told.exists()
    assert proving.runs() == []
    check_program(str(program), {"TOFU": str(program)}, proving.repo, where="plan")


def test_what_is_first_on_path_was_put_there_by_the_operator(tmp_path, make_program, monkeypatch):
    program = make_program(tmp_path / "bin" / "tofu")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    check_program(str(program), {}, tmp_path, where="plan")
    with pytest.raises(RefusedError):
        check_program(str(make_program(tmp_path / "other" / "tofu")), {}, tmp_path, where="plan")
