"""Collaborative models: one file each, one interface, registered by name in ``MEMBERS``."""

from __future__ import annotations

from genre_gen.collaborative.base import CollaborativeModel
from genre_gen.collaborative.ease import Ease
from genre_gen.collaborative.item_knn import ItemKNN
from genre_gen.collaborative.popularity import Popularity
from genre_gen.collaborative.svd import SVD
from genre_gen.collaborative.transitions import Transitions

MEMBERS: dict[str, type[CollaborativeModel]] = {
    model.name: model for model in (Popularity, Transitions, Ease, ItemKNN, SVD)
}
"""Every collaborative model by the name that ``domain.toml`` uses."""

__all__ = ["MEMBERS", "SVD", "CollaborativeModel", "Ease", "ItemKNN", "Popularity", "Transitions"]
