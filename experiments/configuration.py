"""conf/, wherever the program is installed, and what is found in it.

In a checkout ``experiments/conf`` is a link to ``conf``; in a wheel the files themselves lie there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import omegaconf._utils
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from automl.store.place import own_url, trunks_beside

SEARCH_PATH = "pkg://experiments.conf"
CONF = Path(str(resources.files("experiments"))) / "conf"
_LEFT_OUT = re.compile(r"^#.*\bnot \w+ by default\b", re.MULTILINE)
EARLIER = "earlier"  # the family of networks of earlier runs


def options_of(group: str, also: Sequence[Path] = ()) -> list[str]:
    """The options of a group: its yaml files, by name; those in a folder of it as ``bench/NAME``.

    ``also``: folders like conf.
    """
    folders = [conf / group for conf in (CONF, *also)]
    return sorted({f.relative_to(of).with_suffix("").as_posix() for of in folders for f in of.rglob("*.yaml")})


def by_default(group: str) -> list[str]:
    """Those of them that take part unless a comment in the file says "not ... by default"."""
    return [name for name in options_of(group) if not _LEFT_OUT.search((CONF / group / f"{name}.yaml").read_text())]


def register() -> None:
    """``family=all``, ``methods=all``, ``peer=all``: what lies in conf takes part, and no list of it is kept by hand.
    ``family=all_new`` is without the networks of earlier runs: level 3 looks at no past run.

    ``${own_store:}`` is where a person's past runs lie, ``${trunks:URL}`` where those of a store leave their networks.
    """
    OmegaConf.register_new_resolver("own_store", own_url, replace=True)
    OmegaConf.register_new_resolver("trunks", trunks_beside, replace=True)
    store = ConfigStore.instance()
    store.store(group="family", name="all", node={"defaults": by_default("family")})
    new = [name for name in by_default("family") if name != EARLIER]
    store.store(group="family", name="all_new", node={"defaults": new})
    learners = [{f"/metalearner@{name}": name} for name in by_default("metalearner")]
    store.store(group="methods", name="all", node={"defaults": learners})
    store.store(group="peer", name="all", node={"defaults": by_default("peer")})


if hasattr(yaml, "CSafeLoader"):  # not everywhere

    class Loader(yaml.CSafeLoader, omegaconf._utils.get_yaml_loader()):
        """OmegaConf's own, but parsed in C, as from OmegaConf 2.4 on: to compose takes a sixth less."""

    omegaconf._utils.get_yaml_loader = lambda: Loader
register()
