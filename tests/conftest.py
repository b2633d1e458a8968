"""What many tests need."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, weights and oracles; it lies beside a developer's checkout only."""
    if not (SHARED / "README.md").is_file():
        pytest.skip("the shared test data is not here")
    return SHARED
