"""Every yaml composes and names something that exists."""

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from experiments.compose import composed
from experiments.configuration import CONF, options_of

GROUPS = {f.parent.name for f in CONF.glob("*/*.yaml")}
OPTIONS = [(group, option) for group in sorted(GROUPS) for option in options_of(group)]


def targets(node, found):
    if isinstance(node, dict):
        if "_target_" in node:
            found.append(node["_target_"])
        for value in node.values():
            targets(value, found)
    return found


def test_the_groups_of_the_contract_are_there():
    wanted = "data task budget family strategy metalearner engine store tracker objective experiment"
    assert set(wanted.split()) <= GROUPS


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_its_targets_exist(group, option):
    if group == "experiment":
        overrides = [f"+experiment={option}"]
    else:
        overrides = [f"{group}={option}", *([] if group == "family" else ["family=[mlp]"])]
    cfg = composed(overrides)
    assert OmegaConf.select(cfg, "seed") == 0
    node = OmegaConf.to_container(cfg, resolve=False)
    found = targets(node, [])
    assert found
    for target in found:
        assert callable(get_object(target)), target


def test_the_code_and_the_configuration_agree_on_names():
    """A new family, strategy, engine or meta-learner is one Python file and one yaml."""
    for group, folder in (("family", "nas/families"), ("engine", "nas/engines"), ("metalearner", "metalearner")):
        for name in (o for g, o in OPTIONS if g == group):
            node = OmegaConf.load(CONF / group / f"{name}.yaml")
            module = node["_target_"].rsplit(".", 1)[0].replace(".", "/")
            assert module.startswith(folder), (group, name, module)
