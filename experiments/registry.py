"""Models by name: ``level4 +experiment=registry registry=FOLDER do=add name=price bundle=FOLDER alias=champion``.

The options are checked before anything is imported that takes a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.data.read.files import existing
from automl.errors import UserError
from experiments.explain import printable
from experiments.options import said

if TYPE_CHECKING:
    from automl.deploy.registry import Registry

SHOWN = 12  # digits of a digest, in a table that should fit into 80 columns
OPTIONS = ("registry", "do", "name", "bundle", "version", "alias")
# What each needs, and what it may be given besides.
DEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": ((), ("name",)),
    "add": (("name", "bundle"), ("alias",)),
    "promote": (("name", "version"), ("alias",)),
    "rollback": (("name",), ("alias",)),
    "drop": (("name",), ("version", "alias")),
    "clean": ((), ()),
}


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    options = options_of(cfg, HydraConfig.get().overrides.task)
    from automl.deploy.registry import Registry

    registry = Registry(Path(options["registry"]).expanduser())
    if options["do"] == "list":
        show(registry, options["name"])
    else:
        print(done(registry, options))


def options_of(cfg: DictConfig, typed: Sequence[str] = ()) -> dict[str, str]:
    """The checked options, empty where they are null. ``typed``: words of the command line.

    Raises UserError for a value of the wrong type, and for one that is missing or does nothing.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    words = {option: value for option, _, value in (word.lstrip("+").partition("=") for word in typed)}
    options = {}
    for option in OPTIONS:
        value = plain[option]
        if value is not None and not isinstance(value, str):
            # To Hydra a digest such as 123e45 and a name such as 007 are numbers, and not the same any more.
            value = words.get(option, value)
        if value is not None and not isinstance(value, str):
            raise UserError(f"{option}={said(value)} must be text")
        options[option] = value or ""
    do = options["do"]
    if do not in DEEDS:
        raise UserError(f"do={do} is unknown; use one of: {', '.join(DEEDS)}")
    needed, free = DEEDS[do]
    for option in ("registry", *needed):
        if not options[option]:
            raise UserError(f"{option} is missing, and do={do} needs it. Set {option}=...")
    for option in OPTIONS[2:]:
        if options[option] and option not in (*needed, *free):
            raise UserError(f"{option}={options[option]} does nothing with do={do}. Leave it out")
    if do == "drop" and bool(options["version"]) == bool(options["alias"]):
        raise UserError("do=drop takes version=... to forget a version, or alias=... to take an alias away; set one")
    if do == "add":
        existing(options["bundle"], option="bundle")
    return options


def done(registry: Registry, options: Mapping[str, str]) -> str:
    """Do it, and say so in one line."""
    from automl.deploy.entry import DIGITS
    from automl.deploy.registry import CHAMPION

    _, do, name, bundle, version, alias = (options[option] for option in OPTIONS)
    if do == "add":
        digest = registry.add(Path(bundle).expanduser(), name, alias=alias or None)
        hint = "" if registry.entry(name).aliases else f"; do=promote version={digest[:DIGITS]} lets it answer"
        return f"{name}@{digest[:DIGITS]} is in {registry.folder}{f', as {alias}' if alias else hint}"
    if do == "clean":
        gone = ", ".join(copy.name for copy in registry.clean())
        return f"{gone} removed: copies that no name holds" if gone else "no copy is without a name"
    if do == "drop" and alias:
        registry.unset(name, alias)
        gone = "" if registry.entry(name).aliases else f"; it was the last one, so nothing answers for {name} any more"
        which = "" if alias == CHAMPION else f" alias={alias}"
        return f"{name}@{alias} is taken away{gone}; do=rollback{which} brings it back"
    if do == "drop":
        return f"{name}@{registry.drop(name, version)[:DIGITS]} is forgotten"
    alias = alias or CHAMPION
    digest = registry.rollback(name, alias) if do == "rollback" else registry.promote(name, version, alias)
    return f"{name}@{alias} is {digest[:DIGITS]}"


def show(registry: Registry, name: str = "") -> None:
    """One table: a line per version. Raises UserError for a name that is not there."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    names = [name] if name else registry.names()
    for copy in registry.orphans() if not name else ():
        line = f"{copy} is of no name, as after a command that was killed; add its bundle again, or do=clean removes it"
        console.print(printable(line), markup=False, soft_wrap=True)
    if not names:
        console.print(
            f"{registry.folder} holds no models; do=add name=... bundle=... takes one", markup=False, soft_wrap=True
        )
        return
    table = Table()
    table.add_column("name", overflow="fold")
    table.add_column("aliases", overflow="fold", min_width=len("challenger"))
    for column in ("version", "added", "kind", "metric"):
        table.add_column(column, no_wrap=True)
    broken = []
    for one in names:
        try:
            for cells in lines(registry, one):
                table.add_row(*(escape(printable(cell)) for cell in cells))
        except UserError as error:
            if name:
                raise
            broken.append(str(error))
    console.print(table)
    for line in broken:
        console.print(printable(line), markup=False, soft_wrap=True)


def lines(registry: Registry, name: str) -> Iterator[tuple[str, ...]]:
    """The cells of each version of a name."""
    from automl.deploy.bundle import META

    entry = registry.entry(name)
    for version in entry.versions:
        aliases = ", ".join(alias for alias, digest in entry.aliases.items() if digest == version.digest)
        try:
            folder = registry.resolve(f"{name}@{version.digest}").folder
            task = json.loads((folder / META).read_text(encoding="utf-8"))["task"]
            told = (str(task["kind"]), str(task["metric"]))
        except UserError:
            told = ("broken", "")
        yield name, aliases, version.digest[:SHOWN], version.added.partition("T")[0], *told
