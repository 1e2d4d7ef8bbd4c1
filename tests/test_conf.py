"""Every yaml composes and names something that exists."""

import functools
import inspect
from typing import Any

import omegaconf._utils
import pytest
import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf
from yaml.constructor import ConstructorError

from experiments.compose import composed
from experiments.configuration import CONF, Loader, options_of
from experiments.options import _hints
from experiments.signatures import takes

GROUPS = {f.parent.name for f in CONF.glob("*/*.yaml")}
OPTIONS = [(group, option) for group in sorted(GROUPS) for option in options_of(group)]
ALONE = sorted(GROUPS - {"experiment", "family", "peer"})  # of these there is one at a time


def nodes(node):
    """Those that make something."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from nodes(value)


@functools.cache
def plain(*overrides: str) -> dict[str, Any]:
    cfg = composed(overrides)
    assert OmegaConf.select(cfg, "seed") == 0
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    for node in nodes(plain):
        if node["_target_"].startswith("nas.engines.ray."):
            pytest.importorskip("ray", reason="ray is not installed")
        assert callable(get_object(node["_target_"])), node["_target_"]
    return plain


def holding(group: str, option: str) -> dict[str, Any]:
    """A configuration with this option, and of the other groups those that stand at its place: few are composed."""
    if group == "experiment":
        return plain(f"+experiment={option}")
    if group == "peer":
        return plain("+experiment=compare", f"peer=[{','.join(options_of('peer'))}]")
    if group == "family":
        return plain("data=sklearn", f"family=[{','.join(options_of('family'))}]")
    at = options_of(group).index(option)
    beside = {name: of[at % len(of)] for name in ALONE for of in [options_of(name)]}
    return plain("family=[mlp]", *(f"{name}={one}" for name, one in beside.items()))


def test_the_groups_of_the_contract_are_there():
    wanted = "data task budget family strategy metalearner engine store tracker objective experiment"
    assert set(wanted.split()) <= GROUPS


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_makes_what_reads_all_of_it(group, option):
    found = holding(group, option)
    assert [*nodes(found)]
    if group == "experiment":
        return
    of = found[group][option] if group in ("family", "peer") else found[group]
    for node in nodes(of):  # no option is there which nobody reads
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


ODD = """
numbers: [1e3, 1.5e-4, 1_000.5, .5, -.inf, 12:30:45.6, 1:30, 010, 0x1F]
words: [yes, off, ~, null, 2020-01-01, "2020-01-01", "${a.b}"]
mapping: {c: &d {e f: "g: h"}, i: *d, path: !!python/object/apply:pathlib.Path [x/y]}
text: |
  two
  lines
"""


def test_yaml_parsed_in_c_is_what_omegaconf_reads(tmp_path):
    parser, own = Loader.__bases__
    assert parser is yaml.CSafeLoader and omegaconf._utils.get_yaml_loader() is Loader
    assert yaml.load(ODD, Loader) == yaml.load(ODD, own)
    (tmp_path / "twice.yaml").write_text("a: 1\nb: {a: 2}\na: 3\n")
    with pytest.raises(ConstructorError, match=r"found duplicate key a\n.* line 3"):
        OmegaConf.load(tmp_path / "twice.yaml")
