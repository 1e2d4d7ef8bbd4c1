"""The contract for every meta-learner of conf/metalearner: they join by themselves."""

import functools

import pytest
from omegaconf import DictConfig

from automl.types import MetaLearner
from experiments.compose import composed
from experiments.configuration import options_of
from experiments.options import made
from metalearner.testing import MetaLearnerContract


@functools.cache
def configured(name: str) -> DictConfig:
    return composed([f"metalearner={name}", "family=[mlp]"])


class TestEvery(MetaLearnerContract):
    @pytest.fixture(params=options_of("metalearner"))
    def learner(self, request: pytest.FixtureRequest) -> MetaLearner:
        return made(configured(request.param), "metalearner")
