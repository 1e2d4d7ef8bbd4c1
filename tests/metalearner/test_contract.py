"""The contract for every meta-learner of conf/metalearner: they join by themselves."""

import pytest

from automl.types import MetaLearner
from experiments.compose import composed
from experiments.configuration import options_of
from experiments.options import made
from metalearner.testing import MetaLearnerContract


class TestEvery(MetaLearnerContract):
    @pytest.fixture(params=options_of("metalearner"))
    def learner(self, request: pytest.FixtureRequest) -> MetaLearner:
        return made(composed([f"metalearner={request.param}", "family=[mlp]"]), "metalearner")
