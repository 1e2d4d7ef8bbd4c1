"""What is Ray's alone; what it promises as all engines with workers do is in test_pool."""

import sys

import pytest
from hydra.utils import get_object

import automl
import nas.engines
from automl.errors import UserError
from experiments.explain import explain
from nas.engines.cluster import environment
from tests.nas.engines import ray_engine


def test_a_cluster_that_does_not_answer_is_one_line():
    with pytest.raises(UserError, match=r"no Ray cluster answers at engine.address=127.0.0.1:1"):
        ray_engine(workers=1, address="127.0.0.1:1").warm_up(wait=True)


def test_a_cluster_gets_the_code_and_no_path_of_this_machine():
    assert environment("host:6379")["py_modules"] == [automl, nas]
    assert environment(None) == {}


def test_a_memory_limit_that_nobody_would_watch_is_refused():
    with pytest.raises(UserError, match=r"engine.memory_gb=2.0 is watched on this machine only"):
        ray_engine(address="host:6379", memory_gb=2.0)


def test_without_ray_whoever_imports_the_engine_is_told_what_to_install(monkeypatch):
    """A benchmark that compares engines, or one of somebody else's that builds on this one."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "nas.engines.ray", raising=False)
    monkeypatch.delattr(nas.engines, "ray", raising=False)
    with pytest.raises(ImportError) as caught:
        get_object("nas.engines.ray.RayEngine")
    line = "engine=ray needs a package that is not installed. Run: pip install 'level4[ray]'"
    assert explain(caught.value) == f"Error: {line}"
