"""Ray Serve: one replica of a FastAPI app behind Ray's proxy."""

import json
import os
import threading

from fastapi import FastAPI, Request, Response
from ray import serve

from level4 import Bundle

app = FastAPI()


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
@serve.ingress(app)
class Model:
    def __init__(self) -> None:
        self.bundle = Bundle.load(os.environ["BUNDLE"], threads=1)

    @app.post("/predict")
    async def predict(self, request: Request) -> Response:
        told = self.bundle.answer(json.loads(await request.body())["rows"])
        assert told.probabilities is not None
        pairs = zip(told.prediction.tolist(), told.probabilities.tolist(), strict=True)
        classes = self.bundle.task.classes
        answers = [{"class": name, "p": dict(zip(classes, p, strict=True))} for name, p in pairs]
        return Response(json.dumps({"answers": answers}), media_type="application/json")


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Model.bind(), name="model", route_prefix="/")
    threading.Event().wait()
