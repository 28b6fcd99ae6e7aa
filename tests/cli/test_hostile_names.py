"""Names and words of strangers: what a state, a lock, a file or a server is called never commands a terminal."""

import json
import os
import re

import pytest

from tests.cli.lab import Lab, document
from tests.support.fault_proxy import Effect, Fault, FaultProxy

# Clears the screen, sets the title, forges a line, turns the writing direction, and is CSI in one character.
EVIL = "evil\x1b[2J\x1b]0;x\x07\nerror: forged\r\u202etxt\x9b31m\u2028"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


def check_harmless(done, *, code):
    assert done.code == code, done.err
    for text in (done.out, done.err):
        assert not OBEYED.search(text), text
        assert "\nerror: forged" not in text
        text.encode()


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_name_of_a_state(make_lab, flags):
    lab: Lab = make_lab(rows=[{"project": 84, "name": EVIL, "versions": [{"text": document(1).decode()}]}])
    check_harmless(lab.run("plan", *flags), code=4)
    lab.write_settings(more=f'[[exclude]]\nstate = "evil*"\nreason = {json.dumps(EVIL)}\n')
    check_harmless(lab.run("plan", *flags), code=0)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../../x", "unsafe-key"),
        (".", "unsafe-name"),
        ("..", "unsafe-name"),
        ("a\nb", "unsafe-name"),
        ("a\u202eb", "unsafe-name"),
        ("cafe\u0301", "unsafe-name"),
        ("$(touch x)", "unsafe-key"),
        ("x" * 255, None),
        ("..%2f..%2fx", None),
    ],
)
def test_a_state_whose_name_is_an_attack_is_moved_only_where_the_name_is_harmless(make_lab, name, code):
    states = {name: [document(1)]}
    lab: Lab = make_lab(
        states=states, bindings=f'\n[[state]]\nname = {json.dumps(name)}\nstack = "alpha"\nenvironment = "dev"\n'
    )
    before = lab.world()
    done = lab.run("plan", "--json")
    if code is not None:
        assert code in [one["code"] for one in done.document["blockers"]]
        check_harmless(lab.run("migrate", "--yes"), code=4)
        assert lab.world() == before
    else:
        assert done.code == 0, done.err
        check_harmless(lab.run("migrate", "--yes", "-vv"), code=0)
        assert f"acme/infra/{name}/terraform.tfstate" in lab.objects()
        check_harmless(lab.run("rollback", "--yes", "-vv"), code=0)
        assert lab.world()["files"] == before["files"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_holder_of_a_lock(lab, flags):
    lab.plan()
    holder = {"ID": EVIL, "Operation": EVIL, "Who": EVIL, "Created": EVIL}
    lab.put("acme/infra/alpha-dev/terraform.tfstate.tflock", json.dumps(holder).encode())
    check_harmless(lab.run("migrate", "--yes", *flags), code=4)
    check_harmless(lab.run("status", *flags), code=0)
    check_harmless(lab.run("plan", *flags), code=4)


@pytest.mark.parametrize(
    "flags", [(), ("--json",), ("--format", "json"), ("--format", "markdown"), ("--format", "sarif")]
)
@pytest.mark.parametrize(("name", "code"), [(EVIL.encode(), 0), (b"latin-\xe9", 2)], ids=["obeyed", "not UTF-8"])
def test_the_name_of_a_file(lab, name, code, flags):
    stack = lab.repo / "stacks" / os.fsdecode(name)
    stack.mkdir()
    (stack / "backend.tf").write_text('terraform {\n  backend "http" {}\n}\n')
    (stack / f"{stack.name}.sh").write_text(
        'tofu init -backend-config="address=$CI_API_V4_URL/projects/84/terraform/state/$X"\n'
    )
    check_harmless(lab.run("inventory", *flags), code=code)


def test_the_words_of_a_server(lab):
    said = {"message": EVIL, "error": EVIL}
    with FaultProxy(lab.url) as proxy:
        lab.write_settings((lab.url, proxy.url))
        for status in (400, 403, 500):
            proxy.inject(Fault(Effect.ANSWER, status=status, body=json.dumps(said).encode(), times=9))
            for flags in ((), ("--json",)):
                check_harmless(lab.run("plan", *flags), code=6)
            proxy.clear()


def test_the_name_of_a_run(lab):
    lab.migrate()
    (run,) = lab.runs()
    run.rename(run.with_name(run.name + EVIL + "[bold][x]"))
    for flags in ((), ("--json",)):
        check_harmless(lab.run("status", *flags), code=3)
        check_harmless(lab.run("rollback", "--dry-run", *flags), code=3)
