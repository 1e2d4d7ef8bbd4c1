"""What is Ray's alone; what it promises as all engines with workers do is in test_pool."""

import pytest

import automl
import nas
from automl.errors import UserError
from nas.engines.cluster import environment
from nas.engines.ray import RayEngine


def test_a_cluster_that_does_not_answer_is_one_line():
    with pytest.raises(UserError, match=r"no Ray cluster answers at engine.address=127.0.0.1:1"):
        RayEngine(workers=1, address="127.0.0.1:1").warm_up(wait=True)


def test_a_cluster_gets_the_code_and_no_path_of_this_machine():
    assert environment("host:6379")["py_modules"] == [automl, nas]
    assert environment(None) == {}


def test_a_memory_limit_that_nobody_would_watch_is_refused():
    with pytest.raises(UserError, match=r"engine.memory_gb=2.0 is watched on this machine only"):
        RayEngine(address="host:6379", memory_gb=2.0)
