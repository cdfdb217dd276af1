"""The options of the tests. Only this file is read before the command line is, so all of them are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.turns import Turns

# No example fails for taking long, as Hypothesis would have it after 200 ms: a busy machine is no bug.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the golden stories and the seeded worlds take."""
    group = parser.getgroup("swimstream")
    group.addoption("--rewrite", action="store_true", help="write golden stories and packets anew")
    group.addoption("--seed", type=int, help="run only the worlds of this seed, one for each story of tests/worlds")
    group.addoption("--seeds", type=int, help="run so many worlds of each story of tests/worlds")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Turns:
    """Say which worker runs what, with `pytest -n`."""
    from tests.turns import Turns  # noqa: PLC0415  # only those who run the tests on several cores need xdist

    return Turns(config, log)
