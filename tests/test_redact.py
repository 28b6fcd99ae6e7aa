"""Known secrets struck from the words of others."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.redact import STRUCK, Redactor

SECRET = "glpat-a/b+c d"


@pytest.mark.parametrize(
    "echo",
    [SECRET, "glpat-a%2Fb%2Bc%20d", "glpat-a/b%2Bc%20d", "glpat-a%2Fb%2Bc+d", b64encode(SECRET.encode()).decode()],
    ids=["plain", "in a query", "in a path", "in a form", "basic authentication"],
)
def test_a_secret_is_struck_however_it_is_spelt(echo):
    assert Redactor([SECRET])(f"PRIVATE-TOKEN: {echo}, and {echo}") == f"PRIVATE-TOKEN: {STRUCK}, and {STRUCK}"


def test_a_secret_within_another_leaves_nothing_of_either():
    assert Redactor(["abc", "xabcx"])("1 xabcx 2 abc") == f"1 {STRUCK} 2 {STRUCK}"


def test_nothing_and_next_to_nothing_is_no_secret():
    assert Redactor([None, "", "ab"])("ab None") == "ab None"


def test_it_does_not_show_what_it_strikes():
    assert SECRET not in repr(Redactor([SECRET]))


@given(st.text(min_size=3).filter(lambda secret: secret not in STRUCK), st.text(), st.text())
def test_no_plain_secret_survives(secret, before, after):
    struck = Redactor([secret])(before + secret + after)
    assert STRUCK in struck
