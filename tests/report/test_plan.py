"""What a reviewer is told of a plan before anything else."""

from dataclasses import replace

import pytest

from migrator.report.plan import build_plan_report
from tests.plan.conftest import Case


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("https://gitlab.example.com", False),
        ("http://gitlab.example.com", True),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:9000", False),
        ("http://127.0.0.1.example.com", True),
    ],
)
@pytest.mark.parametrize("side", ["source", "target"])
def test_an_address_without_tls_is_pointed_at(url, warned, side):
    plan = Case().plan()
    changed = {"source": {"url": url}, "target": {"endpoint": url}}[side]
    plan = replace(plan, **{side: replace(getattr(plan, side), **changed)})
    title = str(build_plan_report(plan, "d" * 64)[0])
    assert ("no TLS" in title) is warned
