"""Lightning without the compiler, beside those who use it."""

import subprocess
import sys

import pytest

MODULES = {
    "ours alone, and a user's compiled module is known": """
import sys
from experiments.solve.pipeline import pipeline
unwanted = {"torch._dynamo", "onnxscript", "torchvision"}
assert not unwanted & sys.modules.keys()
from automl.training.lightning import pl
import torch
from lightning.pytorch.utilities.compile import _maybe_unwrap_optimized
compiled = torch.compile(pl.LightningModule())
assert isinstance(_maybe_unwrap_optimized(compiled), pl.LightningModule)
""",
    "NNI's classes are Lightning's, whoever came first": """
import pytorch_lightning
import nas.nni_fixes
from nni.nas.evaluator.pytorch import LightningModule
from nas.strategies.parts.supernet import pl
assert issubclass(LightningModule, pl.LightningModule)
""",
    "and where NNI came before us": """
import nni.nas.nn.pytorch
from nni.nas.evaluator.pytorch import LightningModule
from nas.strategies.parts.supernet import pl
assert issubclass(LightningModule, pl.LightningModule)
""",
}


@pytest.mark.parametrize(
    "which", [pytest.param(m, marks=pytest.mark.slow if m == "and where NNI came before us" else ()) for m in MODULES]
)
@pytest.mark.whole
def test_it_is_imported_in_any_order(which):
    done = subprocess.run([sys.executable, "-c", MODULES[which]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
