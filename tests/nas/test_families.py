"""Every family keeps what families promise. A new yaml in conf/family joins by itself."""

import pytest

from nas.testing.families import TASKS, FamilyContract, supported
from tests.nas.family_tasks import FAMILIES

TABULAR = {"numbers", "mixed", "codes"}
MAPS = {"image", "colour", "tiny", "audio"}
WORDS = {"text", "names"}
SEQUENCES = {"series", "short", "unequal"}
EXPECTED = {
    **dict.fromkeys(("mlp", "binary"), set(TASKS) - {"text", "names", "several"}),
    **dict.fromkeys(("resnet_mlp", "ft_transformer", "tabm", "boosted_trees", "forest"), TABULAR),
    "linear": TABULAR | SEQUENCES,
    **dict.fromkeys(("convnet", "convnet_shared", "mobilenet", "convnext", "vit", "pretrained"), MAPS),
    **dict.fromkeys(("fcn_resnet1d", "inception_time", "tcn", "rnn", "rocket", "patch_transformer"), SEQUENCES),
    **dict.fromkeys(("bag_of_embeddings", "ngram_linear", "text_cnn", "text_rnn", "text_transformer"), WORDS),
    "fusion": {"several", "two"},
    "composed": set(TASKS),
}


@pytest.mark.parametrize("name", FAMILIES)
class TestFamilies(FamilyContract):
    @pytest.fixture
    def family(self, name):
        return FAMILIES[name]

    def test_is_found_under_its_name_for_what_it_can_learn_from(self, name, family):
        found = {t.name for t in supported(family)}
        assert family.name == name and found == EXPECTED.get(name, found)
