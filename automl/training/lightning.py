"""Lightning, without what it brings along and nothing here uses: two seconds of every start.

It imports torchmetrics, some of whose metrics import torchvision, scipy's signals and matplotlib, and torch's compiler,
to know a compiled module when it meets one. Those metrics are left out, and something stands in for the compiler
meanwhile: nothing here is compiled, and whatever needs either can import it as ever.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from lightning_utilities.core import imports

LEFT_OUT = frozenset({"torchvision", "matplotlib", "scipy"})
COMPILER = "torch._dynamo"


class _Compiled(type):
    """Lightning keeps the stand-in's class; what the real compiler has made since is of it all the same."""

    def __instancecheck__(cls, instance: Any) -> bool:
        real = getattr(sys.modules.get(COMPILER), "OptimizedModule", cls)
        return real is not cls and isinstance(instance, real)


_available, _bool = imports.package_available, imports.RequirementCache.__bool__
_stands_in = COMPILER not in sys.modules
imports.package_available = lambda package_name: package_name not in LEFT_OUT and _available(package_name)
imports.RequirementCache.__bool__ = lambda self: self.requirement not in LEFT_OUT and _bool(self)
if _stands_in:
    _compiler = ModuleType(COMPILER)
    _compiler.__dict__.update(OptimizedModule=_Compiled("OptimizedModule", (), {}), disable=lambda fn, *_, **__: fn)
    sys.modules[COMPILER] = _compiler
try:
    import lightning.pytorch as pl
finally:
    imports.package_available, imports.RequirementCache.__bool__ = _available, _bool
    if _stands_in:
        del sys.modules[COMPILER]

__all__ = ["pl"]
