"""Other detectors of drift on the same streams: which windows each of them alarms in."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automl.deploy.reference import Measure

LEVEL = 0.05
EVIDENTLY = "Evidently itself"
NEEDS = ("evidently==0.7.23", "pandas<3")
"""Of its environment: with pandas 3 it cannot be imported."""
NAMES = ("KS, Bonferroni", "same, over windows", "Evidently's rule", "MAPIE martingale", "always")
_MANY = 1_000  # reference rows, from which Evidently measures distances in place of tests


def alarms(reference: Sequence[Measure], windows: Sequence[Sequence[Measure]], rows: int) -> Mapping[str, np.ndarray]:
    """By detector, bool (windows,). ``rows``: that MAPIE is told at most, of each window alike many."""
    p: np.ndarray = np.array([[_p(old, new) for old, new in zip(reference, window, strict=True)] for window in windows])
    share = np.array(
        [np.mean([_evidently(o, n) for o, n in zip(reference, window, strict=True)]) for window in windows]
    )
    return {
        NAMES[0]: np.any(p <= LEVEL / p.shape[1], axis=1),
        NAMES[1]: np.any(p <= LEVEL / p.size, axis=1),  # who knows how many windows there will be
        NAMES[2]: np.asarray(share >= 0.5),
        NAMES[3]: martingale(reference[-1], [window[-1] for window in windows], rows),
        NAMES[4]: np.ones(len(windows), dtype=bool),
    }


def evidently(python: Path, reference: Sequence[Measure], windows: Sequence[Sequence[Measure]]) -> np.ndarray:
    """The windows in which its own preset says that the data have drifted, bool (windows,): of the package itself.

    ``python``: of the environment where it is installed. Raises RuntimeError with what it said where it failed.
    """
    arrays: dict[str, Any] = {f"old_{i}": m.values for i, m in enumerate(reference)}
    arrays |= {f"new_{i}": np.stack([w[i].values for w in windows]) for i in range(len(reference))}
    arrays["named"] = np.array([str(i) for i, m in enumerate(reference) if m.names is not None], dtype="U8")
    with tempfile.TemporaryDirectory() as scratch:
        source, answer = Path(scratch) / "stream.npz", Path(scratch) / "answer.json"
        np.savez(source, **arrays)
        script = Path(__file__).parent / "_peers" / "evidently_drift.py"
        done = subprocess.run([python, script, source, answer], capture_output=True, text=True, cwd=scratch)
        if done.returncode:
            raise RuntimeError(f"evidently: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"[:300])
        return np.array(json.loads(answer.read_text()), dtype=bool)


def _p(old: Measure, new: Measure) -> float:
    """Kolmogorov-Smirnov for numbers, chi-squared for categories; a missing value is a value of its own."""
    from scipy.stats import chi2_contingency, ks_2samp

    if old.names is None:
        low = min(np.nanmin(old.values, initial=0.0), np.nanmin(new.values, initial=0.0)) - 1
        a, b = (np.nan_to_num(m.values, nan=low) for m in (old, new))
        found: Any = ks_2samp(a, b, method="asymp")
        return float(found.pvalue)
    table = _shared(old, new)
    if table.shape[1] < 2:
        return 1.0
    told: Any = chi2_contingency(table, correction=False)
    return float(told.pvalue)


def _shared(old: Measure, new: Measure) -> np.ndarray:
    """Counts (2, values that occur)."""
    values, where = np.unique(np.nan_to_num(np.concatenate([old.values, new.values]), nan=-2.0), return_inverse=True)
    n = len(old.values)
    return np.stack([np.bincount(part, minlength=len(values)) for part in (where[:n], where[n:])])


def _evidently(old: Measure, new: Measure) -> bool:
    """Evidently's default of one column, by its documentation: tests at 0.95 up to 1,000 reference rows.

    Above: Wasserstein over the reference's deviation for numbers, Jensen-Shannon for categories, with threshold 0.1.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import wasserstein_distance

    if len(old.values) <= _MANY:
        return _p(old, new) < LEVEL
    if old.names is not None:
        a, b = _shared(old, new)
        return bool(jensenshannon(a, b) >= 0.1)
    a, b = (m.values[~np.isnan(m.values)] for m in (old, new))
    if not len(a) or not len(b):
        return False
    return bool(wasserstein_distance(a, b) / max(float(a.std()), 1e-3) >= 0.1)


def martingale(old: Measure, windows: Sequence[Measure], rows: int) -> np.ndarray:
    """MAPIE's jumper martingale on how sure the model is, or on its values; row by row, from the reference on."""
    from mapie.exchangeability_testing import OnlineMartingaleTest

    test = OnlineMartingaleTest(warn=False, random_state=np.int_(0))
    known = list(old.values[: rows // 2])
    limit = 1 / LEVEL
    found, each = np.zeros(len(windows), dtype=bool), rows // len(windows)
    past = np.empty(len(known) + sum(len(w.values) for w in windows))
    past[: len(known)] = known
    size = len(known)
    for i, window in enumerate(windows):
        for score in window.values[:each]:  # it takes a millisecond a row in long streams
            test.update_simple_jumper_martingale(test.compute_p_value(score, past[:size]))
            past[size], size = score, size + 1
            if test.current_martingale_value > limit:  # it stays so
                found[i:] = True
                return found
    return found
