"""What stood out lately: told from few rows as from all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvkit.monitoring import timeline
from cvkit.monitoring.diagnosis import diagnose
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform, empty

FEATURES = ("brightness", "sharpness", "unreadable", "f1", "images")
LATELY = 6


@pytest.mark.parametrize("seed", range(12))
def test_what_touches_the_newest_windows_is_told_as_all_verdicts_tell_it(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    with History.open(f"sqlite:///{tmp_path / 'history.db'}") as history:
        standing = dict.fromkeys([(source, one) for source in ("a", "b", "c") for one in FEATURES], "ok")
        for day in range(25):
            for pair in standing:
                if rng.random() < 0.15:
                    standing[pair] = str(rng.choice(["ok", "ok", "warning", "critical", "unknown"]))
            rows = [{"source": s, "rule": "drift", "feature": f, "state": state, "reason": state}
                    for (s, f), state in standing.items() if s != "c" or day < 12 or seed % 2]  # fmt: skip
            history.record(
                model="m", version="1", window=Window(start + timedelta(day), start + timedelta(day + 1)),
                reference_id="r", rules_id="r", measurements=empty(MEASUREMENTS), images=1, bad_images=0,
                verdicts=conform(pd.DataFrame(rows), VERDICTS), started=start,
            )  # fmt: skip
        whole = history.verdicts(model="m", version="1")
        some = timeline.lately(history, "m", "1", LATELY)
        assert len(some) <= len(whole)
        told = [_since(diagnose(rows), start + timedelta(25 - LATELY)) for rows in (some, whole)]
        # Of a source that is gone for good, which no longer is measured, nothing has to be told.
        present = set(some.loc[some["window_start"] == some["window_start"].max(), "source"])
        found, expected = (rows[rows["source"].isin(present)].reset_index(drop=True) for rows in told)
        pd.testing.assert_frame_equal(found, expected)
        assert len(expected)


def _since(found: pd.DataFrame, start: datetime) -> pd.DataFrame:
    return found[found["until"].isna() | (found["until"] >= start)].reset_index(drop=True)


def test_of_nothing_nothing_is_told(tmp_path: Path) -> None:
    with History.open(f"sqlite:///{tmp_path / 'history.db'}") as history:
        assert timeline.lately(history, "m", "1").empty
