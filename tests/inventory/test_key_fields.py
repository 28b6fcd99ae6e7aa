import pytest

from migrator.inventory.key_fields import find_key_fields
from migrator.inventory.model import Stack, StateName

NAMES = tuple(StateName(environment=one, name=name, evidence=()) for one, name in (("dev", "attic-dev"), ("p", "prod")))
ATTIC = Stack(name="attic", directory="stacks/attic", backend=None, states=NAMES)
RUNNERS = Stack(name="runners", directory="stacks/runners", backend=None, states=())


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, {}),
        ("attic-dev", {"stack": "attic", "environment": "dev"}),
        ("prod", {"stack": "attic", "environment": "p"}),
        ("attic-{{env}}", {"stack": "attic", "environment": "{{env}}"}),
        ("attic-${ENV}", {"stack": "attic", "environment": "${ENV}"}),
        ("{{state_name}}", {"stack": "attic"}),
    ],
)
def test_one_stack(state, expected):
    assert find_key_fields(state, [ATTIC]) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("{{stack}}-{{env}}", {"stack": "{{stack}}", "environment": "{{env}}"}),
        ("${STACK}-${ENV}", {"stack": "${STACK}", "environment": "${ENV}"}),
        ("{{stack}}-dev", {"stack": "{{stack}}", "environment": "dev"}),
        ("{{name}}-{{env}}", {}),
        ("${STATE_NAME}", {}),
        ("attic-dev", {}),
    ],
)
def test_several_stacks(state, expected):
    assert find_key_fields(state, [ATTIC, RUNNERS]) == expected
