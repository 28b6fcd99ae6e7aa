"""Options: where they may stand, what sets them, what an unknown one is answered with, and `--json` on every command."""

import inspect
import re
from importlib import import_module

import pytest

from migrator.cli.app import hoist_global_options
from migrator.cli.overview import COMMANDS
from tests.cli.lab import document

READERS = ("inventory", "probe", "plan")
RUN_COMMANDS = ("status", "verify", "rollback", "finalize")


def has_escape(text):
    return "\x1b" in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["plan", "--json", "--diff"], ["--json", "plan", "--diff"]),
        (["plan", "--config", "x", "-o", "y"], ["--config", "x", "plan", "-o", "y"]),
        (["plan", "--config=x"], ["--config=x", "plan"]),
        (["status", "-qv", "RUN", "-vv"], ["-qv", "-vv", "status", "RUN"]),
        (["status", "--", "--json"], ["status", "--", "--json"]),
        (["plan", "--config"], ["--config", "plan"]),
        (["plan", "--repo", "--json"], ["--repo", "--json", "plan"]),
    ],
)
def test_global_options_are_moved_before_the_command(given, expected):
    assert hoist_global_options(given) == expected


def test_global_options_work_before_and_after_the_command(lab, tmp_path):
    config = str(lab.repo / "migrator.toml")
    repo = str(lab.repo)
    before = lab.run("--repo", repo, "--config", config, "--json", "-q", "inventory", cwd=tmp_path)
    after = lab.run("inventory", "--repo", repo, "--config", config, "--json", "-q", cwd=tmp_path)
    assert before.code == 0
    assert before.document["stacks"][0]["name"] == "alpha"
    assert after == before


def test_version_stands_anywhere(lab):
    for arguments in (["--version"], ["plan", "--version"], ["--json", "--version"]):
        done = lab.run(*arguments)
        assert re.fullmatch(r"migrator \d+\.\d+\.\d+\n", done.out)
        assert (done.code, done.err) == (0, "")


def every_option():
    for command in ("", *COMMANDS):
        module = import_module(f"migrator.cli.{command or 'app'}")
        function = getattr(module, command or "_globals")
        for parameter in inspect.signature(function).parameters.values():
            for option in getattr(parameter.annotation, "__metadata__", ()):
                if type(option).__name__ == "OptionInfo":
                    yield pytest.param(parameter.name, option, id=f"{command or 'global'}-{parameter.name}")


@pytest.mark.parametrize(("name", "option"), list(every_option()))
def test_every_option_has_its_variable(name, option):
    assert option.envvar == f"MIGRATOR_{name.upper()}"


def test_variables_set_global_options(lab, tmp_path):
    environment = {"MIGRATOR_REPO": str(lab.repo), "MIGRATOR_JSON": "1", "MIGRATOR_QUIET": "true"}
    done = lab.run("inventory", cwd=tmp_path, **environment)
    assert done.document["format"] == "migrator.inventory/1"
    failed = lab.run("plan", cwd=tmp_path, MIGRATOR_CONFIG=str(tmp_path / "none.toml"), **environment)
    assert failed.document["where"] == str(tmp_path / "none.toml")


def test_variables_set_options_of_commands(lab):
    assert lab.run("inventory", MIGRATOR_CHECK="1", MIGRATOR_FORMAT="markdown").code == 3
    assert lab.run("plan", MIGRATOR_OUT="reviewed.json", MIGRATOR_DIFF="1", MIGRATOR_STACK="alpha beta").code == 0
    assert lab.run("migrate", "reviewed.json", MIGRATOR_DRY_RUN="1").out.rstrip().endswith("(--dry-run)")
    assert lab.run("migrate", "reviewed.json", MIGRATOR_YES="1", MIGRATOR_UNTIL="checked").code == 0
    assert lab.run("migrate", "reviewed.json", MIGRATOR_YES="1").code == 0
    done = lab.run("finalize", MIGRATOR_CONFIRM=lab.bucket, MIGRATOR_SHRED_BLOBS="1")
    assert "removed" in done.out


def test_a_global_flag_variable_that_is_false_is_off(lab):
    assert not lab.run("inventory", MIGRATOR_JSON="0").out.startswith("{")


@pytest.mark.parametrize("arguments", [["--no-color", "plan"], ["plan", "--no-color"]])
def test_no_color_by_option(lab, arguments):
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert has_escape(lab.run("plan", **forced).out)
    assert not has_escape(lab.run(*arguments, **forced).out)


def test_no_color_by_convention(lab):
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert not has_escape(lab.run("plan", **forced, NO_COLOR="1").out)
    assert not has_escape(lab.run("plan", **forced, MIGRATOR_NO_COLOR="1").out)
    assert has_escape(lab.run("plan", **forced, NO_COLOR="").out)


def test_quiet_leaves_the_result_and_verbose_names_each_step(lab):
    lab.plan()
    quiet = lab.run("migrate", "--yes", "-q")
    assert "lock both sides" not in quiet.out
    assert "migrated" in quiet.out
    back = lab.run("rollback", "--yes", "-v")
    assert back.out.count("undone lock_source") == 2
    assert "undone" not in lab.run("status").out.split("journal")[0]


def test_an_unknown_command_is_answered_with_the_nearest(lab):
    done = lab.run("migrat")
    assert done.code == 2
    assert done.told == {
        "what": "there is no command migrat; did you mean migrate?",
        "where": "command line",
        "now": "nothing was touched",
        "next": "migrator migrate --help",
    }
    assert lab.run("xyzzy").told["next"] == "migrator --help"


def test_an_unknown_option_is_answered_with_the_nearest(lab):
    done = lab.run("plan", "--stak", "alpha")
    assert done.code == 2
    assert "--stack" in done.told["what"]
    assert done.told["next"] == "migrator plan --help"


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate", "--until", "done"],
        ["inventory", "--format", "xml"],
        ["plan", "-o"],
        ["--config"],
        ["status", "a", "b"],
        ["migrate", "--yes=no"],
    ],
)
def test_a_wrong_use_of_an_option_is_told_in_four_parts(lab, arguments):
    before = lab.world()
    done = lab.run(*arguments)
    assert done.code == 2
    assert set(done.told) == {"what", "where", "now", "next"}
    assert "Traceback" not in done.err
    assert lab.world() == before


def test_json_gives_one_document_for_each_command(lab):
    for command in READERS:
        assert lab.run(command, "--json").document["format"].startswith(f"migrator.{command}/")
    assert lab.run("migrate", "--dry-run", "--json").document["format"] == "migrator.steps/1"
    assert lab.run("migrate", "--yes", "--json").document["format"] == "migrator.status/1"
    again = lab.run("migrate", "--yes", "--json")
    assert (again.code, again.document["phase"]) == (0, "migrated")
    for command in ("status", "verify"):
        assert lab.run(command, "--json").document["format"] == f"migrator.{command}/1"
    assert lab.run("rollback", "--dry-run", "--json").document["carried"] == []
    back = lab.run("rollback", "--yes", "--json")
    assert back.document["phase"] == "rolled-back"
    assert lab.run("rollback", "--yes", "--json").document["phase"] == "rolled-back"


def test_json_gives_one_document_for_init_and_finalize(lab):
    lab.migrate()
    done = lab.run("finalize", "--confirm", lab.bucket, "--json")
    assert (done.document["phase"], done.document["shredded"]) == ("finalized", 0)
    (lab.repo / "migrator.toml").unlink()
    assert lab.run("init", "--json").document == {"format": "migrator.init/1", "path": "migrator.toml"}


@pytest.mark.parametrize("command", [*RUN_COMMANDS, "migrate", "init", "rehears", "plan --stak"])
def test_json_gives_one_document_for_each_failure(lab, command):
    done = lab.run(*command.split(), "--json")
    told = done.document
    assert told["format"] == "migrator.error/1"
    assert told["exit_code"] == done.code != 0
    assert all(told[part] for part in ("message", "where", "now", "next"))


def test_a_result_that_says_no_is_the_one_document(make_lab):
    lab = make_lab(bindings="", states={"alpha-dev": [document(1)], "who-knows": [document(1, "l-2")]})
    blocked = lab.run("plan", "--json")
    assert blocked.code == 4
    assert [one["code"] for one in blocked.document["blockers"]] == ["unbound-state"]
    assert "error: one blocker stands" in blocked.err
    left = lab.run("inventory", "--check", "--json")
    assert left.code == 3
    assert left.document["format"] == "migrator.inventory/1"


def test_a_verification_that_fails_is_the_one_document(lab):
    lab.migrate()
    lab.put("acme/infra/alpha-dev/terraform.tfstate", b"no state")
    done = lab.run("verify", "--json")
    assert done.code == 3
    assert done.document["ok"] is False


def test_migrate_and_rollback_need_yes_without_a_terminal(lab):
    lab.plan()
    before = lab.world()
    done = lab.run("migrate")
    assert done.code == 2
    assert done.told["next"] == "migrator migrate --yes"
    assert lab.world() == before
    assert lab.runs() == []
    lab.run("migrate", "--yes")
    after = lab.world()
    refused = lab.run("rollback")
    assert (refused.code, refused.told["next"]) == (2, "migrator rollback --yes")
    assert lab.world() == after


def test_the_configuration_is_searched_upward(lab):
    inside = lab.repo / "stacks" / "alpha"
    assert lab.run("plan", cwd=inside).code == 0
    (lab.repo / "stacks" / "migrator.toml").write_text("format = 'nearer'\n")
    nearer = lab.run("plan", cwd=inside)
    assert nearer.code == 2
    assert nearer.told["where"].endswith("/stacks/migrator.toml")
    assert lab.run("plan", "--config", "../../migrator.toml", cwd=inside).code == 0


def test_a_run_is_named_by_id_by_prefix_by_directory_or_not_at_all(lab, tmp_path):
    lab.migrate("--until", "checked")
    lab.run("rollback", "--yes")
    lab.migrate()
    first, second = lab.runs()

    def phase(*name, **more):
        return lab.run("status", *name, "--json", **more).document["phase"]

    assert phase() == phase(second.name) == "migrated"
    assert phase(first.name) == phase(str(first)) == "rolled-back"
    assert phase(first.name[:-4]) == "rolled-back"
    assert phase(str(first), "--repo", str(lab.repo), cwd=tmp_path) == "rolled-back"
    ambiguous = lab.run("status", first.name[:2])
    assert ambiguous.code == 2
    assert second.name in ambiguous.told["next"]


def test_a_plan_in_another_place_is_named_by_every_next_command(lab):
    assert lab.run("plan", "-o", "reviewed.json").out.rstrip().endswith("next: migrator migrate reviewed.json")
    assert lab.run("migrate", "reviewed.json").told["next"] == "migrator migrate reviewed.json --yes"
    assert lab.run("migrate", "reviewed.json", "--until", "checked", "--yes").code == 0
    following = lab.run("status", "--json").document["next_command"]
    plan = f".migrator/runs/{lab.runs()[0].name}/plan.json"
    assert following == f"migrator migrate {plan} (or: migrator rollback)"
    assert lab.run("migrate", plan, "--yes").code == 0


def test_another_plan_waits_while_a_run_is_part_way(lab):
    lab.migrate("--until", "checked")
    before = lab.world()
    first = lab.runs()[0]
    (lab.repo / "stacks" / "alpha" / "extra.tf").write_text("# a change\n")
    assert lab.run("plan").code == 4  # the states are locked by our own run
    assert lab.run("migrate", "--yes").code == 4
    (lab.repo / "stacks" / "alpha" / "extra.tf").unlink()
    assert lab.world() == before
    assert lab.run("migrate", str(first / "plan.json"), "--yes").code == 0


def test_a_plan_that_was_carried_out_is_not_carried_out_again(lab):
    lab.migrate()
    before = lab.world()
    done = lab.run("migrate", "--yes")
    assert (done.code, "carried out already" in done.out) == (0, True)
    assert lab.world() == before
    assert len(lab.runs()) == 1
