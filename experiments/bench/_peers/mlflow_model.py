"""MLflow: saves a model whose signature is that of a frame, and serves it with ``mlflow models serve``."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd

from level4 import Bundle


class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        self.bundle = Bundle.load(os.environ["BUNDLE"], threads=1)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[dict[str, Any]]:
        told = self.bundle.answer(model_input)
        assert told.probabilities is not None
        frame = pd.DataFrame(told.probabilities, columns=list(self.bundle.task.classes))
        return [
            {"class": name, "p": p} for name, p in zip(told.prediction.tolist(), frame.to_dict("records"), strict=True)
        ]


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlflow-")) / "model"
    mlflow.pyfunc.save_model(folder, python_model=Model(), pip_requirements=[])
    serve = ["mlflow", "models", "serve", "-m", str(folder), "-p", os.environ["PORT"], "--env-manager", "local"]
    os.execv(Path(sys.executable).with_name("mlflow"), [*serve, "--workers", "1", "--host", "127.0.0.1"])
