"""What the tests of several adapters fit once."""

import pytest
from autogluon_tables import BAGGED, MODELS, table


@pytest.fixture(scope="session")
def predictors(tmp_path_factory):
    """(n_classes, bagged) to a predictor of AutoGluon; tests that change one work on a clone."""
    from autogluon.tabular import TabularPredictor

    fitted = {}
    for n_classes, bagged in [(2, True), (3, True), (2, False)]:
        predictor = TabularPredictor("kind", path=str(tmp_path_factory.mktemp("ag")), verbosity=0)
        settings = BAGGED if bagged else {}
        fitted[n_classes, bagged] = predictor.fit(
            table(n_classes)[0], hyperparameters=MODELS, num_cpus=1, num_gpus=0, **settings
        )
    return fitted
