"""Errors of a user's making in one line that names the value, the place and the fix."""

from __future__ import annotations

import contextlib
import difflib
import errno
import re
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from automl.errors import UserError
from experiments.configuration import options_of

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, *_FULL}


def explain(error: BaseException | None) -> str | None:
    """One line for an error of the user's making, None for any other."""
    while error is not None:
        if isinstance(error, UserError):
            return f"Error: {flat(str(error))}"
        if isinstance(error, OverrideParseException):
            return explain_signs(error.override)
        if isinstance(error, RecursionError) and "full_key" in str(error):  # OmegaConf's addition to the text
            return (
                "Error: the configuration holds itself: a YAML alias (*) stands inside of what it names. Write it out."
            )
        if isinstance(error, OSError) and error.errno in (_FULL if error.filename is None else _NOT_WRITABLE):
            place = "the disk" if error.filename is None else error.filename  # a write names no file
            return f"Error: {place}: {error.strerror}. Set hydra.run.dir=FOLDER, or mend that place."
        if isinstance(error, OmegaConfBaseException) and error.parent_node is not None and error.key is not None:
            return explain_key(error)
        if isinstance(error, (HydraException, OmegaConfBaseException)) and error.__cause__ is None:
            return f"Error: {explain_text(str(error))}"
        if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
            return "Error: a group is chosen by the name of its file, such as data=file or family=[mlp,tabm]."
        error = error.__cause__
    return None


def explain_key(error: OmegaConfBaseException) -> str:
    """A key that is not in the configuration, or a value that does not fit there."""
    name = str(error.full_key or error.key)
    try:
        choices = sorted(str(key) for key in error.parent_node)  # type: ignore[union-attr]
    except TypeError:
        choices = []
    if isinstance(error, (ConfigKeyError, ConfigAttributeError)) and not choices:
        return f"Error: {name} is not there yet. To add it write +{name}=..."
    if not choices or str(error.key) in choices:
        return f"Error: {name}: {flat(str(error.msg or error)).split(' full_key')[0]}"
    near = difflib.get_close_matches(str(error.key), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Error: {no_option(name)}{hint} Choices here: {', '.join(choices)}."


def no_option(name: str) -> str:
    """What there is instead of an option that people look for."""
    if name == "engine.address":
        return f"no option {name!r}: the default engine works on one machine. To join a Ray cluster add engine=ray."
    if name.rpartition(".")[2] in ("horizon", "forecast_horizon", "prediction_length", "fh"):
        return (
            f"no option {name!r}: forecasts of several steps are not made. Make columns of what is known before, such "
            "as the value a week ago, and set data.time=COLUMN."
        )
    return f"no option {name!r}."


def explain_signs(override: str) -> str:
    """An override that Hydra's grammar does not take: the same in quotes, to paste."""
    key, sign, value = override.partition("=")
    if not sign or not key.strip("+~ "):
        return f"Error: {flat(override)!r} is no option; write OPTION=VALUE, such as data.path=my.csv."
    plain = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    listed = value[:1] == "[" and value[-1] == "]"
    meant = [one.strip(" '\"") for one in value[1:-1].split(",")] if listed else plain
    return f"Error: {flat(override)} is not understood: a value with such signs needs quotes. Write {shown(key, meant)}"


def explain_text(text: str) -> str:
    """Hydra's own texts, shortened: what could not be found, and the choices."""
    missing = re.search(r"Could not (?:find|load) '([^'/]+)/([^']+)'", text)
    if missing and (options := options_of(missing[1], also := searched(text))):
        near = difflib.get_close_matches(missing[2], options, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        own = "" if also else " Yamls of your own: 'hydra.searchpath=[file:///FOLDER]'."
        return f"{missing[1]}={missing[2]} is not there.{hint} Choices: {', '.join(options)}.{own}"
    if sweep := re.search(r"Ambiguous value for argument '([^=]+)=(.*?)'\n", text):
        key, value = sweep[1], sweep[2]
        return (
            f"{key}={value} is a list, one text or a sweep? Write {shlex.quote(f'{key}=[{value}]')}, "
            f"{shown(key, value)}, or add --multirun."
        )
    needed = re.search(r"You must specify '([^']+)'", text)
    if needed and (options := options_of(needed[1])):
        return f"{needed[1]} is missing. Set {needed[1]}=... to one of: {', '.join(options)}."
    return flat(text.split("Config search path")[0])


def searched(text: str) -> list[Path]:
    """The folders that ``hydra.searchpath`` names, as one of Hydra's texts lists them."""
    found = []
    for kind, place in re.findall(r"provider=hydra\.searchpath[^,]*, path=(pkg|file)://(\S+)", text):
        with contextlib.suppress(ImportError):  # a package that is not there
            found.append(Path(place) if kind == "file" else Path(str(resources.files(place.replace("/", ".")))))
    return found


def printable(text: str) -> str:
    """Without control characters: names and cells come from files, and a terminal takes some of these for commands."""
    return "".join(c if c.isprintable() else " " for c in text)


def flat(text: str) -> str:
    return " ".join(text.split())


def shown(key: str, value: str | Sequence[str]) -> str:
    """``'data.path="my data (1).csv"'``: an override to paste into a shell, whatever its value, or a list, holds."""
    text = quoted(value) if isinstance(value, str) else f"[{','.join(map(quoted, value))}]"
    return shlex.quote(f"{key}={text}")


def quoted(text: str) -> str:
    """A value in Hydra's override grammar, whatever characters it holds."""
    plain = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no interpolation; a backslash before one counts double
    return '"' + re.sub(r'(\\*)("|\Z)', lambda found: 2 * found[1] + found[2].replace('"', '\\"'), plain) + '"'
