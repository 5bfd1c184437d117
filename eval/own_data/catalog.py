"""All shapes, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from eval.own_data import books, films, media, shops
from eval.own_data.shapes import Shape

ENCODINGS = ("utf-8-sig", "utf-16", "cp1252", "shift_jis", "gb18030", "cp1251")
SHAPES: dict[str, Callable[[], Shape]] = {
    "goodbooks": books.goodbooks,
    "book-crossing": books.book_crossing,
    "goodreads": books.goodreads,
    "anime": films.anime,
    "tmdb": films.tmdb,
    "movielens-latest": films.movielens_latest,
    "movielens-1m": films.movielens_1m,
    "hetrec": films.hetrec,
    "netflix": films.netflix,
    "recbole": films.recbole,
    "lenskit": films.lenskit,
    "pandas-export": films.pandas_export,
    "food": shops.food,
    "online-retail": shops.online_retail,
    "retail-rocket": shops.retail_rocket,
    "retail-rocket-properties": shops.retail_rocket_properties,
    "hm": shops.hm,
    "hm-zeros-lost": shops.hm_zeros_lost,
    "amazon-2023": shops.amazon_2023,
    "gorse": shops.gorse,
    "yelp": shops.yelp,
    "sql-export": shops.sql_export,
    "german-shop": shops.german_shop,
    "sorted-by-item": shops.mis_sorted,
    "steam": media.steam,
    "steam-lines": media.steam_lines,
    "lastfm": media.lastfm,
    "lastfm-360k": media.lastfm_360k,
    "mind": media.mind,
    "stray-quotes": media.stray_quotes,
    **{f"encoding-{name.replace('_', '-')}": partial(media.encoded, name) for name in ENCODINGS},
}
"""Name -> function that makes the shape, always the same."""
