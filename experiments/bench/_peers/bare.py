"""FastAPI and the bundle, with nothing beside: what no server of the same bundle can be much faster than."""

import json
import os

import uvicorn
from fastapi import FastAPI, Request, Response

from level4 import Bundle

bundle = Bundle.load(os.environ["BUNDLE"], threads=1)
classes = bundle.task.classes
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    rows = json.loads(await request.body())["rows"]
    told = bundle.answer(rows)
    assert told.probabilities is not None
    pairs = zip(told.prediction.tolist(), told.probabilities.tolist(), strict=True)
    answers = [{"class": name, "p": dict(zip(classes, p, strict=True))} for name, p in pairs]
    return Response(json.dumps({"answers": answers}), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
