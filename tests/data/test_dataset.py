"""Dataset: a domain's data in one hand, and the splits of it by name."""

import numpy as np
import pytest

from genre_gen import Dataset, Domain
from genre_gen.data.splits import SPLITS
from genre_gen.errors import ConfigError, DataError, UsageError


def test_a_domain_is_given_by_name_folder_or_object(tiny_domain, dataset):
    folder = tiny_domain.catalog_folder
    for given in ("movies", folder, str(folder), Domain.load("movies")):
        loaded = Dataset.load(given, folder)
        assert loaded.domain.name == "movies"
        assert [item.id for item in loaded.catalog] == [item.id for item in dataset.catalog]
        np.testing.assert_array_equal(loaded.interactions.rows, dataset.interactions.rows)
        assert len(loaded.report) == 0
    assert dataset.domain is tiny_domain
    with pytest.raises(ConfigError, match="no domain 'moveis', did you mean 'movies'"):
        Dataset.load("moveis")
    with pytest.raises(DataError, match="nowhere"):
        Dataset.load("movies", "nowhere")


def test_splits_have_names_too(dataset):
    called = (dataset.leave_one_out(), dataset.global_time(), dataset.hold_out_last())
    for name, split in zip(SPLITS, called, strict=True):
        by_name = dataset.split(name)
        assert split.name == by_name.name == name
        assert split.catalog is dataset.catalog
        assert split.histories is dataset.interactions
        np.testing.assert_array_equal(split.train.rows, by_name.train.rows)
    assert len(dataset.global_time(0.2, 0.3).train) < len(dataset.global_time().train)
    with pytest.raises(UsageError, match="no split 'random'; choose leave-one-out, global-time, all"):
        dataset.split("random")


def test_problems_of_the_data_are_in_the_report(tiny_domain, tmp_path, caplog):
    (tmp_path / "items.csv").write_text("item_id,title,genre\n1,Alien (1979),Horror\n2,Heat (1995),Crime\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id,rating,timestamp\na,1,4,1\na,2,9,2\n")
    data = Dataset.load(tiny_domain.changed({"data.policies.ratings": "drop"}), tmp_path)
    assert len(data.report) == 1
    assert "rating" in caplog.text
    assert len(data.interactions) == 1
