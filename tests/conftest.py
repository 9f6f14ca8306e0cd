"""What every test folder shares: long runs are asked for by name, browser tests say why they are skipped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="how often a crash test repeats its crash (./run crash)")
    parser.addoption("--seed", type=int, default=0, help="what random tests draw from: a failure names its own")
    parser.addoption("--number", type=int, help="which act alone is to fail in tests/faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves soak tests out unless `-m` names them, and skips browser tests where there is no chromium."""
    if "soak" not in config.option.markexpr:
        soak = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if item not in soak]
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found: apt-get install chromium chromium-driver"
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a crash test repeats: 1 in `./run tests`, 50 in `./run crash`."""
    value = request.config.getoption("--rounds")
    assert isinstance(value, int)
    return value


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """What a random test draws from. Same seed, same run, as far as real processes and threads allow."""
    value = request.config.getoption("--seed")
    assert isinstance(value, int)
    return value


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
