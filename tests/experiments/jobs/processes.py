"""What a server starts, without torch: a clerk with made-up answers, and a worker whose trials are lines of a file.

``python processes.py clerk ...`` and ``python processes.py work ... FOLDER ID LEASE``, as the real ones are started.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

TRIALS = 6
FIELDS = {"metric": "accuracy", "val": 0.9, "test": 0.8, "seconds": 1.0, "trials": TRIALS}


def clerk() -> None:
    """``data``: "slow" takes for ever, "dies" ends the process, "wrong" is a fault; all else fits."""
    print(flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        data = question.get("asked", {}).get("data")
        if data == "slow":
            time.sleep(60)
        if data == "dies":
            sys.exit(1)
        answer: dict[str, Any] = {"ok": {"data": data or "iris", "what": question["what"], "rows": []}}
        if (not isinstance(data, str) and question["what"] == "check") or data == "wrong":
            fault = {"at": "/layers/0/Linear/out_features", "problem": "too large", "fix": "Make it smaller"}
            answer = {"error": "/layers/0/Linear/out_features: too large. Make it smaller", "errors": [fault]}
        print(json.dumps(answer), flush=True)


def work() -> None:
    """A trial every ``seconds`` of the dictionary; those that are in the file are not done again."""
    from experiments.jobs.table import Lease, Table

    folder, id, token = Path(sys.argv[-3]), *sys.argv[-2:]
    lease = Lease(Table(folder / "jobs.db"), id, token)
    if not lease.begin():
        return
    job = lease.table.get(id)
    assert job is not None
    file = folder / id / "trials.txt"
    for n in range(TRIALS):
        before = file.read_text().splitlines() if file.exists() else []
        if len(before) > n:
            continue
        time.sleep(float(job.asked.get("seconds", 0.05)))
        with file.open("a") as out:
            print(f"trial {n}", file=out)
        word = lease.beat({"stage": "search", "metric": "accuracy", "trials": [{"number": n}], "now": [], "best": 0.5})
        if word != "go":
            lease.end("cancelled")
            return
    if job.asked.get("name") == "fails":
        lease.end("failed", error="/data: it is empty. Write rows")
        return
    run = folder / id / "run"
    (run / "bundle").mkdir(parents=True, exist_ok=True)
    (run / "bundle" / "meta.json").write_text("{}")
    (run / "result.json").write_text(json.dumps({"test": {"accuracy": 0.8}}))
    lease.end("done", FIELDS)


if __name__ == "__main__":
    {"clerk": clerk, "work": work}[sys.argv[1]]()
