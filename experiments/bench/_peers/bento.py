"""BentoML, one worker: ``bentoml serve bento:Model``."""

import os
from typing import Any

import bentoml

from level4 import Bundle


@bentoml.service(workers=1, traffic={"timeout": 60})
class Model:
    def __init__(self) -> None:
        self.bundle = Bundle.load(os.environ["BUNDLE"], threads=1)

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        told = self.bundle.answer(rows)
        assert told.probabilities is not None
        pairs = zip(told.prediction.tolist(), told.probabilities.tolist(), strict=True)
        return {
            "answers": [{"class": name, "p": dict(zip(self.bundle.task.classes, p, strict=True))} for name, p in pairs]
        }
