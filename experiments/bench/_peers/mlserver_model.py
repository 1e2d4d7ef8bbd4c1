"""MLServer: a runtime of its own that reads one tensor for each column; ``mlserver start FOLDER``."""

import json
import os
import sys
import tempfile
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from level4 import Bundle


class Model(MLModel):
    async def load(self) -> bool:
        self.bundle = Bundle.load(os.environ["BUNDLE"], threads=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        told = self.bundle.answer(PandasCodec.decode_request(payload))
        assert told.probabilities is not None
        outputs = [
            StringCodec.encode_output("class", told.prediction.tolist()),
            NumpyCodec.encode_output("probabilities", told.probabilities),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    port = int(os.environ["PORT"])
    server = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    (folder / "settings.json").write_text(json.dumps({**server, "parallel_workers": 0}))
    model = {"name": "model", "implementation": "mlserver_model.Model"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", str(folder)])
