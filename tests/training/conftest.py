"""What tests of trackers share."""

import shutil

import pytest

from genre_gen.training.trackers import make_tracker


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory):
    """Return a database of MLflow without runs: to make its tables takes seconds, so tests copy it."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    make_tracker("mlflow", folder)  # imports it as users do
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def with_tables(request):
    """Return a function that puts those tables into the folder of a run, if its tracker is MLflow."""

    def put(name, folder):
        if name == "mlflow":
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(request.getfixturevalue("mlflow_tables"), folder / "mlflow.db")

    return put
