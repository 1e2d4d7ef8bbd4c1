"""One trial of NNI's training service: ``python -m nas.engines.nni.trial JOB_FOLDER``.

Takes an order from NNI, trains, and sends the outcome back through NNI's metric channel in pieces, so that it needs no
folder in common with the search. Exits with status 0 whenever it could report, whatever came of the training.
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import base64
import os
import sys
import threading
from pathlib import Path
from typing import Any

import nni
import torch
import torch._dynamo  # optimizers import it: not in the training's time

from nas.engines.nni.jobfile import load_job, order_from_json, outcome_to_json
from nas.evaluate import evaluate
from nas.job import Outcome
from nas.time import FRESH, patience

PIECE = 256 * 1024  # letters: NNI refuses metrics of a million
LARGEST = 64 * 1024 * 1024  # letters of an outcome: by judgement; what is larger fails, which bounds NNI's channel


def main(folder: str, threads: int = 1) -> None:
    torch.set_num_threads(threads)
    parameters = nni.get_next_parameter()
    assert isinstance(parameters, dict)
    order = order_from_json(parameters["order"])
    job = load_job(Path(folder))
    if order.seconds is not None:
        seconds = patience(order.seconds) + FRESH
        outcome = Outcome("timeout", seconds=seconds, error=f"stopped after {seconds:.1f} s: the training hung")
        threading.Timer(seconds, _give_up, [outcome]).start()
    report(evaluate(job, order))
    sys.stdout.flush()
    os._exit(0)  # the timer and torch's threads have nothing left to say


def _give_up(outcome: Outcome) -> None:
    report(outcome)
    os._exit(0)


def report(outcome: Outcome) -> None:
    """Send an outcome. NNI's JSON reader takes ``//`` for a comment, even inside text, so it travels in base64."""
    text = outcome_to_json(outcome)
    if len(text) > LARGEST:
        text = outcome_to_json(Outcome("failed", parameters=outcome.parameters, error="too large for NNI's channel"))
    data = base64.urlsafe_b64encode(text.encode()).decode()
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    lines: list[Any] = [f"{index} {len(pieces)} {piece}" for index, piece in enumerate(pieces)]
    for line in lines[:-1]:
        nni.report_intermediate_result(line)
    nni.report_final_result(lines[-1])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
