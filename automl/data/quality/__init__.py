"""Find what is wrong with the data, repair what is safe to repair, say both.

    repaired, quality = check(dataset)          # before the split and the encoding
    table = clean(new_rows, quality.steps)      # at serving: the same column repairs, then the encoding

One file per group of checks (``columns``, ``rows``, ``target``, ``media``, ``labels``); each check looks and
proposes, only ``check`` repairs.
"""

from automl.data.quality.check import check
from automl.data.quality.clean import clean
from automl.data.quality.findings import (
    REPAIRS,
    Finding,
    Quality,
    Step,
    steps_from_json,
    steps_to_json,
)

__all__ = ["REPAIRS", "Finding", "Quality", "Step", "check", "clean", "steps_from_json", "steps_to_json"]
