"""Files that are larger than they look."""

import gzip
import tracemalloc
import zipfile

import polars as pl
import pytest

from genre_gen.data.readers.files import read_bytes
from genre_gen.data.readers.parquet import read_parquet
from genre_gen.errors import DataError


@pytest.mark.parametrize("packing", ["gz", "zip"])
def test_a_file_that_becomes_a_thousand_times_as_large_is_refused_in_little_memory(tmp_path, packing):
    packed = tmp_path / f"log.csv.{packing}"
    block = b"\n" * (1 << 20)
    if packing == "gz":
        with gzip.open(packed, "wb") as stream:
            for _ in range(200):
                stream.write(block)
        file = packed
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("log.csv", "w") as stream:
            for _ in range(200):
                stream.write(block)
        file = zipfile.Path(packed) / "log.csv"
    assert packed.stat().st_size < 700_000
    tracemalloc.start()
    with pytest.raises(DataError, match="MB when unpacked, 100 times its size; if that is right, unpack it"):
        read_bytes(file)
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()


def test_a_file_of_many_equal_lines_may_be_packed_well(tmp_path):
    text = b"user,item\n" + b"1,2\n" * 1_000_000
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text))
    assert read_bytes(tmp_path / "log.csv.gz") == text


def test_a_parquet_file_of_a_billion_equal_rows_is_refused(tmp_path):
    pl.DataFrame({"a": pl.repeat(1, 200_000_000, dtype=pl.Int8, eager=True)}).write_parquet(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 1_000_000
    with pytest.raises(DataError, match="200,000,000 rows in"):
        read_parquet(tmp_path / "x.parquet")
