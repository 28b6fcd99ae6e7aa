"""``migrator.toml``: what is read, and what is refused with a way to correct it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import ConfigurationError
from migrator.settings import DEFAULT_KEY, FORMAT, KEY_FIELDS, check_key_template, parse_settings, read_settings

SMALLEST = f"""
format = "{FORMAT}"
[source]
url = "https://gitlab.example.com"
project = 84
[target]
endpoint = "https://s3.example.com"
bucket = "tofu-state"
"""


def parse(text: str = SMALLEST, **environment: str):
    return parse_settings(text, where="migrator.toml", environment=environment)


def refuse(text: str, **environment: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refused:
        parse(text, **environment)
    assert refused.value.exit_code == 2
    assert refused.value.where == "migrator.toml"
    return refused.value


def test_the_smallest_file_and_its_defaults():
    settings = parse()
    assert (settings.source.project, settings.source.token_env, settings.source.username) == (84, "GITLAB_TOKEN", None)
    assert (settings.target.key, settings.target.region, settings.target.path_style) == (DEFAULT_KEY, "us-east-1", True)
    assert (settings.target.style, settings.tools.tofu, settings.proof.plan) == ("inline", "tofu", "required")
    assert (settings.state, settings.exclude, settings.acknowledge) == ((), (), ())


def test_everything_that_can_be_said():
    settings = parse(
        SMALLEST.replace('"tofu-state"', '"tofu-state"\nstyle = "partial"\nprofile = "p"\nsession_token_env = "T"')
        + """
[tools]
tofu = "terraform"
[proof]
plan = "init-only"
[[state]]
name = "runners-dev"
stack = "gitlab-runners"
environment = "dev"
var_files = ["dev.tfvars"]
[[exclude]]
state = "scratch-*"
reason = "abandoned"
[[acknowledge]]
code = "unsafe-target"
reason = "a test bench"
"""
    )
    assert settings.state[0].var_files == ("dev.tfvars",)
    assert (settings.target.style, settings.proof.plan, settings.tools.tofu) == ("partial", "init-only", "terraform")
    assert settings.exclude[0].matches("scratch-1")
    assert not settings.exclude[0].matches("Scratch-1")
    assert not settings.exclude[0].matches("attic-scratch-1")


def test_the_address_may_come_from_the_ci_server():
    text = SMALLEST.replace('url = "https://gitlab.example.com"', "")
    assert parse(text, CI_SERVER_URL="https://ci.example.com").source.url == "https://ci.example.com"
    assert "CI_SERVER_URL" in refuse(text).message
    assert parse(SMALLEST, CI_SERVER_URL="https://ci.example.com").source.url == "https://gitlab.example.com"


@pytest.mark.parametrize(
    ("change", "says", "hint"),
    [
        (("bucket =", "buket ="), "unknown setting `buket` in [target]", "did you mean `bucket`?"),
        (("[source]", "[sorce]"), "unknown setting `sorce`", "did you mean `source`?"),
        (("project = 84", "project = 84\nzzz = 1"), "unknown setting `zzz`", "known here: project, url"),
        (("project = 84", ""), "missing setting", "correct the file"),
        (("project = 84", "project = true"), "project", "correct the file"),
        (("project = 84", "project = 8.4"), "project", "correct the file"),
        (("project = 84", 'project = ""'), "`source.project` is empty", "correct the file"),
        (('bucket = "tofu-state"', 'bucket = ""'), "`target.bucket` is empty", "correct the file"),
        (("https://s3.example.com", "s3.example.com"), "`target.endpoint` must start with", "correct the file"),
        (("https://gitlab.example.com", "gitlab.example.com"), "`source.url` must be", "correct the file"),
        (("[target]", '[target]\nstyle = "other"'), "style", "correct the file"),
        (("[target]", "[target"), "not valid TOML", "correct the file"),
        (("[target]", '[target]\nkey = "{state}/../x"'), "must not start or end with a slash", "correct the file"),
        ((FORMAT, "migrator.config/2"), "the first line must be", None),
    ],
)
def test_what_is_refused_says_where_and_how_to_correct_it(change, says, hint):
    error = refuse(SMALLEST.replace(*change))
    assert says in error.message
    assert error.hint == hint or (hint or "") in (error.hint or "")


@pytest.mark.parametrize("table", ["exclude", "acknowledge"])
def test_every_exception_needs_a_reason(table):
    key = {"exclude": "state", "acknowledge": "code"}[table]
    assert f"every [[{table}]] needs a reason" in refuse(f'{SMALLEST}\n[[{table}]]\n{key} = "x"\nreason = " "').message


def test_a_setting_that_is_misspelt_in_a_table_of_a_list_is_named():
    error = refuse(f'{SMALLEST}\n[[state]]\nname = "a"\nstack = "s"\nenviroment = "dev"')
    assert "unknown setting `enviroment` in [state number 1]" in error.message
    assert error.hint == "did you mean `environment`?"


def test_two_tables_for_one_state_are_refused():
    one = '\n[[state]]\nname = "a"\nstack = "s"\nenvironment = "dev"'
    assert "two [[state]] tables name a" in refuse(SMALLEST + one + one.replace('"s"', '"t"')).message


def test_a_file_that_is_absent_or_unreadable(tmp_path):
    with pytest.raises(ConfigurationError) as absent:
        read_settings(tmp_path / "migrator.toml", {})
    assert absent.value.hint == "migrator init"
    (tmp_path / "migrator.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_settings(tmp_path / "migrator.toml", {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_settings(tmp_path, {})
    (tmp_path / "migrator.toml").write_text(SMALLEST)
    assert read_settings(tmp_path / "migrator.toml", {}) == parse()


@pytest.mark.parametrize(
    "template",
    [
        "{state}",
        DEFAULT_KEY,
        "{stack}/{environment}",
        "a/{project_id}/{state}.tfstate",
    ],
)
def test_templates_that_tell_states_apart(template):
    assert check_key_template(template) == []


@pytest.mark.parametrize(
    "template",
    [
        "",
        "fixed",
        "{stack}",
        "{environment}/x",
        "/{state}",
        "{state}/",
        "a//{state}",
        "../{state}",
        "{state}/..",
        "{other}/{state}",
        "{state!r}",
        "{state:>9}",
        "{state.upper}",
        "{state[0]}",
        "{state[a]}",
        "{}/{state}",
        "{0}{state}",
        "{state",
        "state}",
        "{{state}}",
        "{{x}}/{state}",
    ],
)
def test_templates_that_are_refused(template):
    assert len(check_key_template(template)) == 1


@given(st.text(alphabet="{}/.!:[]abstate_x", max_size=20))
def test_any_template_is_judged_without_a_crash_and_a_good_one_tells_states_apart(template):
    if not check_key_template(template):
        one, two = (template.format(**dict.fromkeys(KEY_FIELDS, value)) for value in ("x", "y"))
        assert one != two
