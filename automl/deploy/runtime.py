"""The small install: a wheel with just the code that answers from a bundle, made from the code that runs now.

pip install outputs/.../bundle/level4_runtime-*.whl        # no torch comes along
python -c "from level4 import Bundle; ..."
pip install 'outputs/.../bundle/level4_runtime-....whl[serve]' && python -m automl.serve outputs/.../bundle

Every bundle carries one: a model is read by the code that wrote it, whatever version comes later. It holds ``level4``
and the modules that ``automl.deploy.bundle`` and the server import, found by reading their imports, so it is for
environments without the whole program.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from automl.version import package_version

HERE = Path(__file__).parents[2]
ROOTS = ("level4", "automl.deploy.bundle", "automl.serve.__main__")
ASSETS = ("automl.serve.pages",)  # packages whose files come along
FLOOR = "automl"  # of our own packages this alone is sent: what lies above is not needed for an answer
NEEDS = ("numpy", "pandas", "pillow", "onnxruntime", "safetensors")
SERVE = ("fastapi", "uvicorn", "uvloop", "httptools", "python-multipart", "prometheus-client")
OPTIONAL = {"audio": ("scipy",), "serve": SERVE}  # audio: reads and resamples sounds
_MARKERS = {"uvloop": "sys_platform != 'win32'"}


def write_runtime(folder: Path) -> Path:
    """Write the wheel into a folder and return its path."""
    path = folder / wheel_name()
    path.write_bytes(wheel())
    return path


@functools.cache
def wheel() -> bytes:
    """The wheel itself (PEP 427). The same code gives the same bytes."""
    info = f"level4_runtime-{package_version()}.dist-info"
    files = {f"{module.replace('.', '/')}{ending}": text for module, ending, text in sources()} | dict(assets())
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: level4\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{path},sha256={digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for file, content in files.items():
            packed.writestr(zipfile.ZipInfo(file, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def wheel_name() -> str:
    return f"level4_runtime-{package_version()}-py3-none-any.whl"


def metadata() -> str:
    """Each need at least as new as here: older ones were never tried."""
    needs = [f"Requires-Dist: {_as_here(name)}" for name in NEEDS]
    for extra, names in OPTIONAL.items():
        for name in names:
            wanted = " and ".join([*filter(None, [_MARKERS.get(name)]), f'extra == "{extra}"'])
            needs.append(f"Requires-Dist: {_as_here(name)}; {wanted}")
    extras = [f"Provides-Extra: {extra}" for extra in OPTIONAL]
    head = ["Metadata-Version: 2.1", "Name: level4-runtime", f"Version: {package_version()}"]
    return "\n".join(
        [*head, "Summary: Answers from a bundle of Level 4.", *extras, *needs, "Requires-Python: >=3.11", ""]
    )


def _as_here(name: str) -> str:
    try:
        return f"{name}>={version_of(name)}"
    except importlib.metadata.PackageNotFoundError:  # an extra that is not installed here
        return name


def version_of(name: str) -> str:
    """Without what a build adds for itself (1.2+cpu): no index has it, and no installer compares it."""
    return importlib.metadata.version(name).partition("+")[0]


def assets() -> Iterator[tuple[str, bytes]]:
    """Path in the wheel, and content, of the files of ``ASSETS``."""
    for package in ASSETS:
        folder = package.replace(".", "/") + "/assets"
        for file in sorted((HERE / folder).glob("*")):
            yield f"{folder}/{file.name}", file.read_bytes()


@functools.cache
def sources() -> tuple[tuple[str, str, bytes], ...]:
    """Module, the ending of its file, and its text, of all that the roots import of our own."""
    todo, seen, found = [*ROOTS], set(), list[tuple[str, str, bytes]]()
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        if (file := file_of(module)) is None:
            continue
        text = file.read_bytes()
        found.append((module, "/__init__.py" if file.name == "__init__.py" else ".py", text))
        todo += [*parents(module), *imports(text.decode())]
    return tuple(found)


def parents(module: str) -> list[str]:
    """``a.b.c`` -> ``a``, ``a.b``."""
    names = module.split(".")
    return [".".join(names[:n]) for n in range(1, len(names))]


@functools.cache  # of a process that writes many bundles
def imports(text: str) -> tuple[str, ...]:
    """Modules of ours that a text imports, in functions too; not those that only type checkers see."""
    found = []
    for node in statements(ast.parse(text).body):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in found if name.partition(".")[0] == FLOOR and file_of(name))


def statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All in it, those in others too, without their expressions: a walk through these takes ten times as long."""
    for node in body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, inner, ()))


@functools.cache
def file_of(module: str) -> Path | None:
    """Where a module of ours lies, None for what is none. Nothing is imported: a server would take a second."""
    place = HERE.joinpath(*module.split("."))
    return next((f for f in (place / "__init__.py", place.with_suffix(".py")) if f.is_file()), None)


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
