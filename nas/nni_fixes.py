"""The faults of NNI 3.0 that Level 4 meets, each worked round here, once.

NNI has had no release since 3.0, so it is pinned and its faults are known (numbers: NNI issue tracker or source):

- it imports ``pytorch_lightning``, a second copy of ``lightning.pytorch`` under another name, so that modules of the
  two do not mix (nni#5412) and both take time to import: here it gets the one that we use;
- importing it beside torch 2.15 warns twice about classes it does not know: those two messages are silenced;
- ``Strategy.wait_for_resource`` and ``ExecutionEngine.wait_models`` poll once a second: our engines block on
  events instead (``nas.execution``), so the poll is never reached;
- checkpoints are written at start and stop only: the store is the truth (``nas.session``, replay);
- its evaluators keep a finished Trainer: we never use them (``automl.training.train`` makes its own).
"""

import logging
import sys
import warnings

from automl.training import lightning as lightning  # what is loaded by now goes under NNI's name too

for _name in ("Buffer", "LinearCrossEntropyOptions"):
    warnings.filterwarnings("ignore", message=f".*{_name}.*is found to be not a nn.Module", category=RuntimeWarning)

if "nni.nas" not in sys.modules:  # else NNI's classes are of the other copy already
    for _name in [n for n in sys.modules if f"{n}.".startswith("pytorch_lightning.")]:
        del sys.modules[_name]
    for _name, _module in [*sys.modules.items()]:
        if f"{_name}.".startswith("lightning.pytorch."):
            sys.modules[_name.replace("lightning.pytorch", "pytorch_lightning", 1)] = _module

import nni.nas.nn.pytorch  # noqa: E402

# NNI logs a warning for every failed trial and every exhausted sampler; our store and report say the same, better.
logging.getLogger("nni").setLevel(logging.ERROR)

__all__ = ["nni"]
