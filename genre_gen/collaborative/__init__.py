"""Collaborative models: one file each, one interface, by name in the registries ``MEMBERS`` and ``RATERS``."""

from __future__ import annotations

from genre_gen.collaborative.base import CollaborativeModel, EpochModel, ModelContext
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
from genre_gen.registry import MEMBERS, RATERS

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
    "ModelContext",
    "Popularity",
    "RatingBlend",
    "RatingModel",
    "SASRec",
    "SVDpp",
    "SequentialRules",
    "TextKNN",
]
