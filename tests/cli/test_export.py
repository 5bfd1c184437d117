"""`genre-gen export`: a domain's data as files of other libraries."""

import json

import polars as pl
import pytest
from odd_data import same

from genre_gen import Dataset, Domain
from tests.cli.outcomes import refused


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_read_back_by_the_domain_they_came_from(genre, own_domain, tmp_path, form):
    out = tmp_path / "films"
    code, shown, err = genre("export", own_domain, "--to", form, "--out", out)
    assert (code, err) == (0, "")
    assert shown == f"wrote {out / 'items'}.{form}\nwrote {out / 'interactions'}.{form}\n"
    same(Dataset.load(Domain.load(own_domain), out), Dataset.load(own_domain))


def test_every_part_of_a_split_is_a_table(genre, own_domain, tmp_path):
    assert genre("export", own_domain, "--to", "csv", "--out", tmp_path / "x", "--split", "leave-one-out")[0] == 0
    split = Dataset.load(own_domain).leave_one_out()
    assert {file.name for file in (tmp_path / "x").iterdir()} == {
        "items.csv", "train.csv", "validation.csv", "test.csv",
    }  # fmt: skip
    test = pl.read_csv(tmp_path / "x" / "test.csv", schema_overrides={"user_id": pl.String})
    assert test["user_id"].to_list() == [case.history.user for case in split.test]


@pytest.mark.parametrize("to", ["recbole", "lenskit"])
@pytest.mark.parametrize("split", [[], ["--split", "global-time"]])
def test_files_of_a_library_come_with_the_call_that_reads_them(genre, own_domain, tmp_path, to, split):
    out = tmp_path / "exports" / "films"
    code, shown, err = genre("export", own_domain, "--to", to, "--out", out, *split)
    assert (code, err) == (0, "")
    *files, how = shown.splitlines()
    assert {line.removeprefix("wrote ") for line in files} == {str(file) for file in out.rglob("*") if file.is_file()}
    assert f"dataset='films' in data_path='{out.parent}'" in how if to == "recbole" else "Dataset.load" in how
    told = json.loads(genre("export", own_domain, "--to", to, "--out", out, *split, "--json")[1])
    assert [f"wrote {file}" for file in told["files"]] == files


def test_a_mistake_is_one_line(genre, own_domain, tmp_path):
    refused(genre("export", "moveis", "--to", "csv", "--out", tmp_path), 1, "no domain 'moveis', did you mean 'movies'")
    refused(genre("export", own_domain, "--to", "csv", "--out", "/proc/none"), 1, "--out /proc/none: cannot be written")
    assert genre("export", own_domain, "--to", "spark", "--out", tmp_path)[0] == 2
    assert genre("export", own_domain, "--to", "csv", "--out", tmp_path, "--split", "all")[0] == 2
