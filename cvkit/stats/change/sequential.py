"""Alarms over time: evidence that accumulates window by window until it suffices, and no longer.

A test at 5 % every day raises a false alarm every three weeks, and a test strict enough for a year misses what a few
days together would prove. The Shiryaev-Roberts e-detector does neither: it sums, over every window in which a change
may have begun, the Bayes factor of "changed since then" against "as in the reference". Without a change the sum grows
by one a window on average, however often it is looked at, so a limit of h is crossed once in h windows or more.
Mean and spread of a healthy window are not known but learnt from the chunks of the reference, six of them or six
hundred; the Bayes factors here are invariant to both, so nothing has to be assumed of either.

Sources: J. Shin, A. Ramdas, A. Rinaldo, E-detectors (arXiv 2203.03532); M. Perez-Ortiz et al., E-statistics, group
invariance and anytime-valid testing (arXiv 2208.07610).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from cvkit.stats.arrays import Floats, floats
from cvkit.stats.change.chunks import Spread, window_variance

# Sizes of change looked for, in standard deviations of a healthy window's statistic: each is the scale of a normal
# prior on the change, all are as likely. From what weeks of windows prove together to what one window does.
SCALES = (1.0, 2.0, 4.0, 8.0)
# Mean number of windows to a false alarm over the limit h, by h: what the sum spares by stepping over its limit.
# Measured by simulation for 3 to 1000 chunks, which make no difference; `python -m benchmarks alarms` does it again.
SPARED = ((1e2, 1.5), (1e3, 2.7), (1e4, 3.2), (1e5, 3.4))
RANGE = 0.9  # share of the evidence that the range of an onset holds
GRADUAL_MINIMUM = 5  # fewest changed windows that can tell a ramp from a step
NOTICED = 3.0  # standard deviations of a window
LASTING = 0.5  # share of a change, as it was when it raised the alarm, that may be what lasts of it
RECOVERED = 100.0  # how many times likelier "healthy again" must be than "as after the change"


@dataclass(frozen=True, slots=True)
class Track:
    """One statistic over the windows measured so far, beside how it lies over the chunks of the reference.

    A window without a finite value has the weight 0 and tells nothing; any other weight of it is a ValueError.
    """

    spread: Spread
    values: Floats  # (windows,) in order of time
    weights: Floats  # (windows,) what each tells beside a chunk of the reference, 0..1: see `window_weight`

    def __post_init__(self) -> None:
        for name in ("values", "weights"):
            object.__setattr__(self, name, floats(getattr(self, name)))
        if self.values.shape != self.weights.shape or not np.all((self.weights >= 0) & (self.weights <= 1)):
            raise ValueError("each window needs a value and a weight from 0 to 1")
        if np.any(~np.isfinite(self.values) & (self.weights > 0)):
            raise ValueError("a window without a finite value has the weight 0")

    @property
    def distances(self) -> Floats:
        """Values less the reference's centre, (windows,); 0 where a window tells nothing."""
        return np.where(self.weights > 0, self.values - self.spread.centre, 0.0)


@dataclass(frozen=True, slots=True)
class Component:
    """One way in which a stream may change, such as its level; several tracks look at the same in different units.

    All of them must speak for a change, so that neither skew nor lumps in one unit alone can raise an alarm.
    """

    weight: float  # share of the stream's evidence, all components together 1
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """Streams of one shape and as many windows, side by side: what `weigh_all` weighs at once."""

    distances: Floats  # (streams, tracks, windows) from the reference's centre; 0 where a window tells nothing
    weights: Floats  # (streams, tracks, windows)
    between: Floats  # (streams, tracks) of the tracks' spreads, as are
    chunks: Floats
    memory: Floats
    shares: Floats  # (streams, components) of the stream's evidence
    starts: NDArray[np.intp]  # (components,) the first track of each component

    @property
    def tracks(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """What `step_factors` asks of each track."""
        return self.distances, self.weights, self.between, self.chunks, self.memory


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the windows so far say, as seen after the last one. Windows are numbered from 0."""

    log_sum: float  # log of the Shiryaev-Roberts sum: an alarm where it reaches `log_limit`
    onset: int  # the window in which a change most likely began
    first: int  # range of windows that holds `RANGE` of the evidence for an onset
    last: int
    leading: int  # the component that speaks loudest


def window_weight(spread: Spread, value: float, size: int) -> float:
    """What a window of `size` images tells beside a chunk: the variance between chunks over a healthy window's.

    0 for a window without a value.
    """
    if math.isnan(value) or size < 1:
        return 0.0
    return spread.between / window_variance(spread, size) if spread.between else 1.0


def log_limit(false_alarms_a_year: float, streams: int, windows_a_year: float) -> float:
    """Log of the limit at which all streams together raise `false_alarms_a_year` in a year without a change.

    One stream may do so once in A = streams * windows / budget windows; numbers of false alarms add up whatever the
    streams have to do with each other. The limit is A over what `SPARED` says. At least log 1. Raises ValueError where
    one of the three is not above 0 and finite, and with less than one stream.

    >>> round(math.exp(log_limit(1.0, streams=90, windows_a_year=365)))
    10259
    """
    given = (false_alarms_a_year, float(streams), windows_a_year)
    if not all(0 < one < math.inf for one in given) or streams < 1:
        raise ValueError(f"budget, streams (1 or more) and windows a year are above 0 and finite, not {given}")
    between = streams * windows_a_year / false_alarms_a_year
    logs = [math.log(limit * spared) for limit, spared in SPARED]
    spared = float(np.interp(math.log(between), logs, [spared for _, spared in SPARED]))
    return max(0.0, math.log(between / spared))


def weigh(components: Sequence[Component]) -> Evidence:
    """The evidence of a stream after its last window; of a stream without windows -inf, and no onset (-1)."""
    if not components or not components[0].tracks[0].values.size:
        return Evidence(-math.inf, -1, -1, -1, 0)
    streams = _side_by_side(components)
    return weigh_all(streams, step_factors(*streams.tracks))[0]


def weigh_all(streams: Streams, logs: Floats) -> list[Evidence]:
    """The evidence of each stream after its last window; there is at least one track, and one window.

    `logs` (streams, tracks, windows) are the `step_factors` of the tracks.
    """
    ends = [*streams.starts[1:].tolist(), logs.shape[1]]
    weakest = [_weakest(logs[:, start:end]) for start, end in zip(streams.starts.tolist(), ends, strict=True)]
    parts = np.log(streams.shares)[..., None] + np.stack(weakest, axis=1)
    by_onset = _log_sum(parts, axis=1)
    total = _log_sum(by_onset, axis=1)
    share = np.cumsum(np.exp(by_onset - total[:, None]), axis=1)
    first, last = (np.count_nonzero(share < tail, axis=1) for tail in ((1 - RANGE) / 2, (1 + RANGE) / 2))
    onset, leading = np.argmax(by_onset, axis=1), np.argmax(_log_sum(parts, axis=2), axis=1)
    first, last = np.minimum(first, onset), np.maximum(np.minimum(last, share.shape[1] - 1), onset)
    columns = (column.tolist() for column in (total, onset, first, last, leading))
    return [Evidence(*row) for row in zip(*columns, strict=True)]


def _side_by_side(components: Sequence[Component]) -> Streams:
    """One stream."""
    tracks = [track for one in components for track in one.tracks]
    counts = [len(one.tracks) for one in components]
    between, chunks, memory = (
        np.array([[getattr(track.spread, name) for track in tracks]], dtype=float)
        for name in ("between", "chunks", "memory")
    )
    return Streams(
        np.stack([track.distances for track in tracks])[None], np.stack([track.weights for track in tracks])[None],
        between, chunks, memory, np.array([[one.weight for one in components]]), np.cumsum([0, *counts[:-1]]),
    )  # fmt: skip


def _weakest(logs: Floats) -> Floats:
    """Of Bayes factors (streams, tracks, windows) those of the track that speaks least for a change."""
    least = np.argmin(logs.max(axis=2, initial=0.0), axis=1)
    return np.asarray(np.take_along_axis(logs, least[:, None, None], axis=1)[:, 0])


def _log_sum(logs: Floats, axis: int) -> Floats:
    """Log of the sum of exponentials, of numbers that are finite."""
    most = logs.max(axis=axis, keepdims=True)
    ratios = logs - most
    return np.asarray(np.log(np.sum(np.exp(ratios, out=ratios), axis=axis)) + np.squeeze(most, axis))


def log_bayes_factors(track: Track) -> Floats:
    """Log of the Bayes factor for a change since each window (windows,), as seen after the last one.

    See `step_factors`.
    """
    spread = track.spread
    return step_factors(track.distances, track.weights, spread.between, spread.chunks, spread.memory)


def step_factors(
    distances: Floats, weights: Floats, between: ArrayLike, chunks: ArrayLike, memory: ArrayLike = 0.0
) -> Floats:
    """Log of the Bayes factor for a step at each window (..., windows), as seen after the last one; many at a time.

    `distances` (..., windows) of the statistic from the centre of the reference's `chunks` (...,), `weights`
    (..., windows), `between` (...,) the variance of the chunks' statistics, ddof 1. The model: distance = mean +
    change * [window >= onset] + noise of variance s^2 / weight. The mean has a flat prior, s one of 1 / s, change /
    s a normal one of each of `SCALES`, averaged. Null: change = 0. Windows before an onset count as healthy, beside
    the reference. Where neighbouring windows are alike, `memory` (...,) their autocorrelation, s^2 is that of their
    mean since each onset (see `growth`).
    In nats; 0 where nothing has ever varied.
    """
    after, total = _tail(weights), (np.asarray(chunks) + weights.sum(axis=-1))[..., None]
    pull, squares = _pull(distances, weights, between, chunks)
    squares = squares * growth(memory, weights.shape[-1])
    return _bayes_factor(pull, after - after**2 / total, squares, _observations(weights, chunks))


def growth(memory: ArrayLike, windows: int) -> Floats:
    """Variance of the mean of the windows since each of (..., windows), times what it is where none is like the next.

    1 + 2 sum over j < k of (1 - j / k) memory^j for k windows: 1 for one, (1 + memory) / (1 - memory) for many.
    """
    alike = np.asarray(memory, dtype=np.float64)[..., None]
    k = np.arange(windows, 0, -1)
    return np.asarray(1 + 2 * alike / (1 - alike) - 2 * alike * (1 - alike**k) / (k * (1 - alike) ** 2))


def gradual(track: Track) -> float:
    """Probability that a change came as a ramp and not as a step, both as likely beforehand; NaN where it is too early.

    The ramp rises evenly from its onset to the last window; every onset is tried for both.
    """
    if not track.values.size:
        return math.nan
    spread = track.spread
    about = (np.array([one], dtype=float) for one in (spread.between, spread.chunks, spread.memory))
    known = (track.distances[None], track.weights[None], *about)
    return float(gradual_all(step_factors(*known), *known)[0])


def gradual_all(
    steps: Floats, distances: Floats, weights: Floats, between: Floats, chunks: Floats, memory: Floats
) -> Floats:
    """The same of many tracks (n,), beside their `step_factors`: as these are asked for of tracks (n, windows)."""
    windows = distances.shape[1]
    found = np.full(len(steps), math.nan)
    late = windows - np.argmax(steps, axis=1) >= GRADUAL_MINIMUM
    if not late.any():
        return found
    y, weights, between, chunks, memory = (one[late] for one in (distances, weights, between, chunks, memory))
    total = (chunks + weights.sum(axis=1))[:, None]
    _, squares = _pull(y, weights, between, chunks)
    squares = squares * growth(memory, windows)
    residual = weights * (y - _dot(weights, y)[:, None] / total)
    time = np.arange(windows)
    lengths = windows - time  # windows since each onset: the ramp is 1 in the last of them
    since = 1.0 - time
    lean = (_tail(residual * time) + since * _tail(residual)) / lengths
    level = (_tail(weights * time) + since * _tail(weights)) / lengths
    norm = (_tail(weights * time**2) + 2 * since * _tail(weights * time) + since**2 * _tail(weights)) / lengths**2
    ramps = _bayes_factor(lean, norm - level**2 / total, squares, _observations(weights, chunks))
    found[late] = expit(_log_sum(ramps, axis=1) - _log_sum(steps[late], axis=1))
    return found


def shift(track: Track, onset: int) -> float:
    """Mean of the statistic since `onset`, less the mean of the reference and the windows before; in its unit."""
    chunks = np.array([track.spread.chunks], dtype=float)
    return float(shift_all(track.distances[None], track.weights[None], chunks, np.array([onset]))[0])


def shift_all(distances: Floats, weights: Floats, chunks: Floats, onsets: NDArray[np.intp]) -> Floats:
    """The same of many tracks: (..., windows), and chunks and onsets (...,); NaN where nothing was told since."""
    since = np.arange(distances.shape[-1]) >= onsets[..., None]
    after, ahead = np.where(since, weights, 0.0), np.where(since, 0.0, weights)
    told = after.sum(axis=-1)
    mean = np.divide(_dot(after, distances), told, out=np.full(told.shape, math.nan), where=told > 0)
    return np.asarray(mean - _dot(ahead, distances) / (chunks + ahead.sum(axis=-1)))


def recovery(track: Track, onset: int, alarm: int) -> tuple[int, int] | None:
    """The window since which the statistic is healthy again after the window `alarm`, and the window that tells so.

    None while it is not. Windows after the one that tells so change nothing.

    Page's cumulative sum of the log-likelihood of the level before `onset` against that from there to `alarm`, against
    half that change, as the window of an alarm is often an extreme one, and against `NOTICED`, where that is less: what
    fell far and came back by most of the way is not healthy. Known spread. Healthy where all reach log `RECOVERED`;
    since where the first of them last was 0, or a later one where the change only eased in between.
    """
    change = shift(Track(track.spread, track.values[: alarm + 1], track.weights[: alarm + 1]), onset)
    later = track.weights[alarm + 1 :]
    noticed = NOTICED * math.sqrt(_variance(track.spread) / later.mean()) if later.any() else math.inf
    half = LASTING * change
    since, told = 0, 0
    for place, level in enumerate((change, half, math.copysign(min(abs(half), noticed), change))):
        found = _healthy_since(track, onset, alarm, level)
        if found is None:
            return None
        between = track.distances[since : found[0]]  # where the change had eased, or chance looked like so much of it
        if not place or (between.size and abs(between.mean()) > abs(level) / 2):
            since = found[0]
        told = max(told, found[1])
    return since, told


def _healthy_since(track: Track, onset: int, alarm: int, change: float) -> tuple[int, int] | None:
    spread, weights, y = track.spread, track.weights, track.distances
    y = y - weights[:onset] @ y[:onset] / (spread.chunks + weights[:onset].sum())
    gains = ((y - change) ** 2 - y**2) * weights / (2 * _variance(spread))
    total, since = 0.0, alarm + 1
    for window in range(alarm + 1, y.size):
        total += float(gains[window])
        if total <= 0:
            total, since = 0.0, window + 1
        if total >= math.log(RECOVERED):
            return since, window
    return None


def _variance(spread: Spread) -> float:
    """Of a window of weight 1, in the long run; where nothing varies, any difference tells all."""
    return spread.between * (1 + spread.memory) / (1 - spread.memory) or float(np.finfo(float).tiny)


def _pull(distances: Floats, weights: Floats, between: ArrayLike, chunks: ArrayLike) -> tuple[Floats, Floats]:
    """Weighted sum of what lies from each window on, around the common mean; squares of everything around it."""
    count = np.asarray(chunks, dtype=float)
    mean = (_dot(distances, weights) / (count + weights.sum(axis=-1)))[..., None]
    around = distances - mean
    count = count[..., None]
    squares = (count - 1) * np.asarray(between)[..., None] + count * mean**2 + _dot(around**2, weights)[..., None]
    return _tail(weights * around), squares


def _dot(first: Floats, second: Floats) -> Floats:
    """Sum of products over the windows, the last axis."""
    return np.asarray(np.einsum("...i,...i->...", first, second))


def _observations(weights: Floats, chunks: ArrayLike) -> Floats:
    return np.asarray(np.asarray(chunks) + np.count_nonzero(weights, axis=-1), dtype=float)[..., None]


def _tail(values: Floats) -> Floats:
    """Sum from each place to the end."""
    return np.cumsum(values[..., ::-1], axis=-1)[..., ::-1]


def _bayes_factor(pull: Floats, room: Floats, squares: Floats, observations: Floats) -> Floats:
    """Mean over `SCALES` of the Bayes factor of a regressor: its product with the data is `pull`, its norm `room`."""
    varied = np.where(squares > 0, squares, 1.0)
    logs = np.empty((len(SCALES), *pull.shape))
    for scale, log in zip(SCALES, logs, strict=True):  # in place: new memory for each step takes a third of the time
        wider, explained = scale**2 * room, scale**2 * pull**2
        wider += 1
        explained /= wider * varied
        np.minimum(explained, 1 - 1e-15, out=explained)
        np.log1p(np.negative(explained, out=explained), out=explained)
        explained *= (observations - 1) / 2
        np.multiply(np.log(wider, out=wider), -0.5, out=log)
        log -= explained
    return np.where(squares > 0, _log_sum(logs, axis=0) - math.log(len(SCALES)), 0.0)
