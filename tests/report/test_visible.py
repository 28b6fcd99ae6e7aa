"""Text of strangers, shown."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.report.output import Output
from migrator.report.visible import make_line, make_visible, make_visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 漢字 \U0001f600\tx\ny", "plain äöü 漢字 \U0001f600\tx\ny"),
        ("\x1b[2J\x00\r", "␛[2J␀␍"),
        ("\x9b31m\x7f", "�31m�"),
        ("a\u202eb\u2066c\u200fd\u2028e", "a�b�c�d�e"),
        ("\udcff", "�"),
    ],
)
def test_what_a_terminal_obeys_is_shown(text, shown):
    assert make_visible(text) == shown
    assert make_line(text) == shown.replace("\t", " ").replace("\n", " ")


@given(st.dictionaries(st.text(), st.text()))
def test_json_says_the_same(document):
    plain = json.dumps(document, ensure_ascii=False)
    assert json.loads(make_visible_json(plain)) == document


def test_colours_of_our_own_stay_and_those_of_strangers_do_not(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    Output().console(stream).print("[bold]ours[/bold] \x1b[31mtheirs")
    assert stream.getvalue() == "\x1b[1mours\x1b[0m ␛[31mtheirs\n"
