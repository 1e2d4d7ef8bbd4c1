"""Every yaml composes and names something that exists."""

import inspect
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from experiments.compose import composed
from experiments.configuration import CONF, options_of
from experiments.options import _hints
from experiments.signatures import takes

GROUPS = {f.parent.name for f in CONF.glob("*/*.yaml")}
OPTIONS = [(group, option) for group in sorted(GROUPS) for option in options_of(group)]


def nodes(node):
    """Those that make something."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from nodes(value)


def test_the_groups_of_the_contract_are_there():
    wanted = "data task budget family strategy metalearner engine store tracker objective experiment"
    assert set(wanted.split()) <= GROUPS


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_makes_what_reads_all_of_it(group, option):
    if group == "experiment":
        overrides = [f"+experiment={option}"]
    elif group == "peer":
        overrides = ["+experiment=compare", f"peer={option}"]
    else:
        overrides = [f"{group}={option}", *([] if group == "family" else ["family=[mlp]"])]
    cfg = composed(overrides)
    assert OmegaConf.select(cfg, "seed") == 0
    plain = OmegaConf.to_container(cfg, resolve=False)
    found = [*nodes(plain)]
    assert found
    for node in found:
        assert callable(get_object(node["_target_"])), node["_target_"]
    for node in [] if group == "experiment" else nodes(plain[group]):  # no option is there which nobody reads
        known = inspect.signature(get_object(node["_target_"])).parameters
        unread = {k for k in node if not k.startswith("_")} - set(known)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
        assert node.get("_partial_") or open_ended or not unread, unread
        as_read = takes(node["_target_"])
        assert not as_read.all or set(as_read.hints) == set(known), "its source is read as it is"
        for name, hint in _hints(get_object(node["_target_"])).items():
            assert as_read.hints.get(name, Any) in (Any, hint), name


def test_the_code_and_the_configuration_agree_on_names():
    """A new family, strategy, engine or meta-learner is one Python file and one yaml."""
    for group, folder in (("family", "nas/families"), ("engine", "nas/engines"), ("metalearner", "metalearner")):
        for name in (o for g, o in OPTIONS if g == group):
            node = OmegaConf.load(CONF / group / f"{name}.yaml")
            module = node["_target_"].rsplit(".", 1)[0].replace(".", "/")
            assert module.startswith(folder), (group, name, module)
