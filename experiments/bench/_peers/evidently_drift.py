"""Evidently's preset for drift as it comes, in windows: python evidently_drift.py STREAM.npz ANSWER.json

The npz holds by column ``old_N`` (rows,) and ``new_N`` (windows, rows), NaN where missing, and ``named``, the numbers
of the columns that are categories. The answer is a list of booleans: whether half of the columns and more have drifted.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def frame(arrays: dict[str, np.ndarray], named: set[str]) -> pd.DataFrame:
    columns = {}
    for name, values in arrays.items():
        texts = [None if np.isnan(v) else f"v{v:.0f}" for v in values] if name in named else None
        columns[name] = pd.Series(values if texts is None else texts)
    return pd.DataFrame(columns)


def main(source: Path, answer: Path) -> None:
    warnings.simplefilter("ignore")
    with np.load(source) as file:
        arrays = dict(file)
    named = {str(n) for n in arrays.pop("named")}
    names = [name.removeprefix("old_") for name in arrays if name.startswith("old_")]
    old, found = frame({n: arrays[f"old_{n}"] for n in names}, named), []
    for at in range(len(arrays[f"new_{names[0]}"])):
        new = frame({n: arrays[f"new_{n}"][at] for n in names}, named)
        known = [n for n in names if old[n].notna().any() and new[n].notna().any()]  # of others it raises
        kinds = DataDefinition(
            numerical_columns=[n for n in known if n not in named], categorical_columns=[n for n in known if n in named]
        )
        both = [Dataset.from_pandas(f[known], data_definition=kinds) for f in (new, old)]
        told = Report([DataDriftPreset()]).run(*both).dict()["metrics"]
        share = next(m["value"]["share"] for m in told if m["metric_name"].startswith("DriftedColumnsCount"))
        found.append(bool(share >= 0.5))
    answer.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
