"""The operator: products of +1 and -1 as bits, in C++ where it was built, else in plain torch with the same results.

    level4 +experiment=level0 data.path=my.csv      # builds it, once for a machine

    pack     float (rows, size) -> uint8 (rows, bytes): bit i of a row is whether number i is 0 or more
    unpack   the way back, to +1 and -1
    matmul   packed (n, bytes), packed (m, bytes), size -> float (n, m), exact

An operator of one's own takes four steps: the C++ file with its registration (xnor.cpp), building it (``build``),
finding what was built (``_built``), and a way without it (``plain``), which also says what is right in the tests. A
fifth, where models leave the program: the same in standard operators, for ONNX (``automl.models.binary.layers``).
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

SOURCE = Path(__file__).with_name("xnor.cpp")
WORD = 64  # bits; rows are packed to whole ones
ROWS = 4096
"""Rows that are unpacked at once without the operator: it bounds the memory, and decides nothing else."""


def pack(x: Tensor) -> Tensor:
    """Float (rows, size) -> uint8 (rows, bytes), bytes a multiple of 8; a number of 0 or more is a bit that is 1."""
    bits = (x >= 0).to(torch.uint8)
    bits = F.pad(bits, (0, -x.shape[1] % WORD)).unflatten(1, (-(-x.shape[1] // WORD) * WORD // 8, 8))
    return (bits << torch.arange(8, dtype=torch.uint8, device=x.device)).sum(dim=2, dtype=torch.uint8)


def unpack(packed: Tensor, size: int) -> Tensor:
    """uint8 (rows, bytes) -> float (rows, size) of +1 and -1. Standard operators only, so it can be exported."""
    places = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=packed.device)
    bits = torch.bitwise_and(packed[:, :, None], places).bool()
    return 2 * bits.flatten(1)[:, :size].float() - 1


def matmul(x: Tensor, w: Tensor, size: int) -> Tensor:
    """Products of the rows of x and those of w: packed (n, bytes), packed (m, bytes) -> float (n, m).

    Whole numbers from -size to size, the same with the operator and without it.
    """
    if x.device.type == "cpu" and _built():
        return torch.ops.level4_xnor.matmul(x, w, size)
    return plain(x, w, size)


def plain(x: Tensor, w: Tensor, size: int) -> Tensor:
    """The same as ``matmul``, without the operator."""
    weights = unpack(w, size)
    return torch.cat([F.linear(unpack(some, size), weights) for some in x.split(ROWS)])


def build() -> Path | None:
    """Compile the operator where that was not done yet; None, and a warning, where there is no compiler.

    It takes half a minute, and is kept for this machine, this version of torch and this source. Two processes may do so
    at once.
    """
    library = _library()
    if library.is_file():
        _built.cache_clear()  # another process may have built it since this one looked
        return library
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns where there is no GPU
    from torch.utils import cpp_extension

    library.parent.mkdir(parents=True, exist_ok=True)
    # The count of bits is an instruction on each x86 processor since 2008; nothing newer is asked for.
    flags = ["-O3", "-mpopcnt"] if platform.machine() in ("x86_64", "AMD64") else ["-O3"]
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        try:
            cpp_extension.load(
                "level4_xnor", [str(SOURCE)], extra_cflags=flags, build_directory=scratch, is_python_module=False
            )
            made = Path(scratch) / "level4_xnor.so"
            made.replace(library)
        except (RuntimeError, OSError) as error:  # no compiler, no ninja, no headers
            said = str(error).strip().splitlines()[0]
            warnings.warn(f"the operator of binary networks is not built ({said}): plain torch is used", stacklevel=2)
            return None
    _built.cache_clear()
    return library


@functools.cache
def _built() -> bool:
    """Whether the operator is here, loaded now if it was built before."""
    if hasattr(torch.ops.level4_xnor, "matmul"):
        return True
    library = _library()
    if not library.is_file():
        return False
    try:
        torch.ops.load_library(str(library))
    except OSError:
        return False
    return True


def _library() -> Path:
    """Where it is kept: a name for each machine, version of torch and source."""
    told = f"{torch.__version__} {platform.machine()} {SOURCE.read_text()}"
    name = f"xnor-{hashlib.sha256(told.encode()).hexdigest()[:16]}.so"
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "level4" / name
