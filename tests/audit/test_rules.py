"""Rules are data: a repository extends or replaces them, and what is wrong with them is told."""

from pathlib import Path

import pytest

from migrator.audit.rules import FORMAT, read_rules
from migrator.errors import ConfigurationError

SURFACE = '[[surface]]\nid = "attic"\ntitle = "Ours"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(text, "utf-8")
    return path


def test_rules_of_ones_own_extend_the_built_in_ones(tmp_path: Path) -> None:
    built_in = read_rules(None)
    own = read_rules(write(tmp_path, f'format = "{FORMAT}"\n{SURFACE}[[surface]]\nid = "harbor"\ntitle = "H"\n'))
    assert [one.id for one in own.surface] == [*(one.id for one in built_in.surface), "harbor"]
    assert next(one.title for one in own.surface if one.id == "attic") == "Ours"
    assert own.claim == built_in.claim
    assert own.hedges == built_in.hedges


def test_or_replace_them(tmp_path: Path) -> None:
    own = read_rules(write(tmp_path, f'format = "{FORMAT}"\nreplace = true\n{SURFACE}'))
    assert [one.id for one in own.surface] == ["attic"]
    assert own.claim == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("surface = 3", "these are no rules"),
        ('format = "other/1"', "rules of format 'other/1'"),
        (f'format = "{FORMAT}"\n[[surface]]\nid = "a"\ntitle = "A"\nuses = ["("]', "not a regular expression: '('"),
        (
            f'format = "{FORMAT}"\n[[surface]]\nid = "a"\ntitle = "A"\nuses = ["(?s)a"]',
            "not a regular expression: '(?s)a'",
        ),
        (f'format = "{FORMAT}"\n[[surface]]\nid = "a"\ntitle = "A"\nbackend = "cloud"', "backend 'cloud'"),
        (f'format = "{FORMAT}"\n[[surface]]\nid = "a"\ntitle = "A"\ncolour = "red"', "colour"),
        (
            f'format = "{FORMAT}"\n[[surface]]\nid = "a"\ntitle = "A"\n[[surface.coordinates]]\nname = "n"\npattern = "x"',
            "no group (?P<value>...)",
        ),
    ],
)
def test_what_is_wrong_with_rules_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_rules(path)
    assert said in caught.value.message
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_rules(tmp_path / "missing.toml")
