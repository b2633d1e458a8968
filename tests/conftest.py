"""What many tests need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from alert_world import config

from cvkit.config import Config
from cvkit.monitoring.history import History

hypothesis.settings.register_profile("cvkit", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("cvkit")
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, weights and oracles; it lies beside a developer's checkout only."""
    if not (SHARED / "README.md").is_file():
        pytest.skip("the shared test data is not here")
    return SHARED


@pytest.fixture(scope="session")
def upkeep_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of `upkeep_world`, made once; nobody changes it."""
    from upkeep_world import line  # which most tests do without

    folder = tmp_path_factory.mktemp("upkeep") / "line"
    line(folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    """A workspace with alerts, of `alert_world`."""
    return config(tmp_path)


@pytest.fixture
def history(settings: Config) -> Iterator[History]:
    """Its history, still empty."""
    with History.open(settings.history_url) as opened:
        yield opened
