"""LitServe, one worker on the CPU."""

import os
from typing import Any

import litserve as ls

from level4 import Bundle


class Api(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.bundle = Bundle.load(os.environ["BUNDLE"], threads=1)

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return request["rows"]

    def predict(self, rows: list[dict[str, Any]]) -> Any:
        return self.bundle.answer(rows)

    def encode_response(self, told: Any) -> dict[str, Any]:
        classes = self.bundle.task.classes
        pairs = zip(told.prediction.tolist(), told.probabilities.tolist(), strict=True)
        return {"answers": [{"class": name, "p": dict(zip(classes, p, strict=True))} for name, p in pairs]}


if __name__ == "__main__":
    server = ls.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", generate_client_file=False)
