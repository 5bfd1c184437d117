"""Writers: data and splits as the files of other libraries."""

from genre_gen.data.writers.files import replace_file
from genre_gen.data.writers.lenskit import write_lenskit, write_lists
from genre_gen.data.writers.recbole import write_recbole
from genre_gen.data.writers.table import write_tables

__all__ = ["replace_file", "write_lenskit", "write_lists", "write_recbole", "write_tables"]
