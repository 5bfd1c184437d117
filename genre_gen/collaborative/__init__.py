"""Collaborative models: one file each, one interface, registered by name in ``MEMBERS`` or ``RATERS``."""

from __future__ import annotations

from genre_gen.collaborative.base import CollaborativeModel, EpochModel
from genre_gen.collaborative.bayesian_mf import BayesianMF
from genre_gen.collaborative.ease import Ease
from genre_gen.collaborative.item_knn import ItemKNN
from genre_gen.collaborative.knn_baseline import KNNBaseline
from genre_gen.collaborative.popularity import Popularity
from genre_gen.collaborative.rating_blend import RatingBlend
from genre_gen.collaborative.rating_model import RatingModel
from genre_gen.collaborative.sasrec import SASRec
from genre_gen.collaborative.sequential_rules import SequentialRules
from genre_gen.collaborative.svd import SVD
from genre_gen.collaborative.svdpp import SVDpp
from genre_gen.collaborative.text_knn import TextKNN

MEMBERS: dict[str, type[CollaborativeModel]] = {
    model.name: model for model in (Popularity, SequentialRules, Ease, ItemKNN, TextKNN, SVD, SASRec)
}
"""Every collaborative model by the name that ``domain.toml`` uses."""

RATERS: dict[str, type[RatingModel]] = {model.name: model for model in (SVD, SVDpp, KNNBaseline, BayesianMF)}
"""Every model of ratings by its name. Apart from ``MEMBERS``, which every evaluation fits as rankers: models of ratings
rank poorly, and SVD stands there for them all."""

__all__ = [
    "MEMBERS",
    "RATERS",
    "SVD",
    "BayesianMF",
    "CollaborativeModel",
    "Ease",
    "EpochModel",
    "ItemKNN",
    "KNNBaseline",
    "Popularity",
    "RatingBlend",
    "RatingModel",
    "SASRec",
    "SVDpp",
    "SequentialRules",
    "TextKNN",
]
