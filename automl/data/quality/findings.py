"""What the quality check says: findings, and the column steps that serving must repeat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from automl.data.step import Step

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

REPAIRS: Mapping[str, bool] = {
    # rows (training rows only; the test split is never changed)
    "missing_target": True,
    "duplicate_rows": True,
    "train_test_overlap": False,
    "label_errors": False,
    "corrupt_images": False,
    "corrupt_audio": False,
    "constant_rows": False,
    # cells
    "placeholder_values": True,
    "numeric_text": True,
    "mixed_types": True,
    "date_text": True,
    "infinite_values": True,
    "sentinel_values": False,
    "outliers": False,
    "category_variants": False,
    # columns
    "empty_column": True,
    "constant_column": True,
    "id_like_column": True,
    "duplicate_columns": True,
    "target_leakage": False,
}
"""Every finding that has a repair, and whether the repair is made unless the user says otherwise."""
COLUMN_REPAIRS = frozenset({"empty_column", "constant_column", "id_like_column", "duplicate_columns", "target_leakage"})
"""Those that leave a column out."""


@dataclass(frozen=True)
class Finding:
    """One thing that is, or may be, wrong with the data.

    ``name``: its kind, which is also the name of the switch of its repair (see ``REPAIRS``).
    ``count``: rows or values concerned. ``where``: the column, the array, "target" or "rows".
    ``text``: one sentence for people. ``examples``: a few plain values, or dicts that name a ``row``.
    ``repair``: what was done or is proposed; empty when there is nothing to do. ``repaired``: whether it was.
    ``rows``: positions in the data set as it was given, the most suspicious first (at most ``MAX_ROWS``).
    """

    name: str
    severity: Severity
    count: int
    where: str
    text: str
    examples: tuple[Any, ...] = ()
    repair: str = ""
    repaired: bool = False
    rows: tuple[int, ...] = ()


MAX_ROWS = 1000
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Quality:
    """The report: findings by severity, and what a repaired data set needs later.

    ``steps``: column repairs in order; ``clean(table, steps)`` repeats them on new data at serving.
    ``kept``: for each row of the repaired data set its position in the data set as it was given.
    ``drop_if_train``: rows of the *repaired* data set that a switched-on repair wants out of every training, but that
    are still there: no split was given yet, or it gives them as validation rows. They may judge (in valid and test),
    and nothing may learn from them.
    """

    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()
    kept: tuple[int, ...] = ()
    drop_if_train: tuple[int, ...] = ()
    seconds: float = 0.0
    rows: int = 0
    columns: int = 0

    def named(self, name: str) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(f for f in self.findings if f.name == name)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Why columns were left out, a line each (many of a kind are summed up)."""
        return tuple(f"column left out: {f.text}" for f in self.findings if f.repaired and f.name in COLUMN_REPAIRS)

    def worst(self) -> Severity | None:
        """The highest severity among the findings; None when there are none."""
        return next((s for s in SEVERITIES if any(f.severity == s for f in self.findings)), None)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists that ``json.dumps`` takes as they are (NaN and inf become text)."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "rows_kept": len(self.kept),
            "seconds": round(self.seconds, 3),
            "findings": [
                {
                    "name": f.name,
                    "severity": f.severity,
                    "count": f.count,
                    "where": f.where,
                    "text": f.text,
                    "examples": [plain(e) for e in f.examples],
                    "repair": f.repair,
                    "repaired": f.repaired,
                    "rows": list(f.rows),
                }
                for f in self.findings
            ],
            "steps": steps_to_json(self.steps),
        }


def steps_to_json(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """For the bundle."""
    return [{"do": s.do, "column": s.column, "values": [plain(v) for v in s.values]} for s in steps]


def steps_from_json(items: list[dict[str, Any]]) -> tuple[Step, ...]:
    """The inverse of ``steps_to_json``."""
    return tuple(Step(str(i["do"]), str(i["column"]), tuple(i.get("values", ()))) for i in items)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers stay numbers unless NaN or infinite, all else becomes text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if abs(value) <= 1.8e308 and value == value else str(value)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value
