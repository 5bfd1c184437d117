"""LiveState: a trained recommender with the items that came after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative import CollaborativeModel
from genre_gen.collaborative.late_texts import LateTexts
from genre_gen.collaborative.text_knn import TextKNN
from genre_gen.data.catalog import Catalog, Item
from genre_gen.live.late_items import LateItems, described
from genre_gen.query.parser import QueryParser
from genre_gen.recommender.state import RecommenderState, computed_once
from genre_gen.tasks import TaskData

if TYPE_CHECKING:
    from genre_gen.explain.evidence import Evidence
    from genre_gen.llm.generator import ItemGenerator


@dataclass(frozen=True, eq=False)
class LiveState(RecommenderState):
    """A recommender whose catalog has changed since it was trained.

    Attributes:
        late: the items that came later, and the recommender as it was trained.
    """

    late: LateItems = field(kw_only=True)

    @computed_once
    def generator(self) -> ItemGenerator:
        """Return the generator of the language model."""
        return generator_of(self, self.late.trained.generator)

    @computed_once
    def item_counts(self) -> NDArray[np.int64]:
        """Return the number of training interactions of each item: int64 ``[n_items]``."""
        return np.pad(self.late.trained.item_counts, (0, len(self.late)))

    @computed_once
    def query_parser(self) -> QueryParser:
        """Return the parser of requests in free text; the words of trained items are counted once for all states."""
        similarity = self.neighbours if self.neighbour_models else None
        earlier = self.late.trained.query_parser
        return QueryParser(self.catalog, self.domain.query, similarity, self.language, earlier)

    def _evidence(self) -> Evidence:
        """Return what is true of picks; what the training data tells is counted once for all states."""
        trained = self.late.trained.explainer.evidence
        return trained.with_items(self.catalog, self.domain, self.knowledge)


def grown(state: RecommenderState, items: Sequence[Item]) -> RecommenderState:
    """Return a state with more items, or with other descriptions of items; the state itself if nothing is new.

    Items that the model was trained on keep their codes and what was learned of them. Late items whose description
    changes are placed again, so that the result does not depend on what was said of them before.

    Raises:
        DataError: see ``Catalog.with_items``.
        ConfigError: there are no codes for further items, or a member cannot read their texts.
    """
    before, catalog = state.catalog, state.catalog.with_items(items)
    touched = {catalog.row(item.id) for item in items}
    changed = [row for row in touched if row < len(before) and catalog.given(row) != before.given(row)]
    if not changed and len(catalog) == len(before):
        return state
    late = state.late if isinstance(state, LiveState) else LateItems.none(state)
    moved = [
        row
        for row in changed
        if row >= len(late.trained.catalog) and described(catalog, row).describe() != described(before, row).describe()
    ]
    return _with(state, catalog, late.extended(catalog, moved), bool(moved))


def _with(state: RecommenderState, catalog: Catalog, late: LateItems, moved: bool) -> LiveState:
    """Return the state with another catalog; ``moved``: a late item has another code, or its vector is another."""
    trained, n_items = late.trained, len(catalog)
    parts: dict[str, Any] = {each.name: getattr(state, each.name) for each in fields(RecommenderState)}
    parts["catalog"] = catalog
    if len(late):
        parts["histories"] = state.histories.with_items(n_items)
        parts["trained_on"] = trained.trained_on.with_items(n_items)
        parts["llm"] = trained.llm.with_codes(late.codes, late.table.tensor)
        models = {id(model): model for model in (*trained.members.values(), *trained.rating_models.values())}
        larger = {key: _model(model, late, n_items) for key, model in models.items()}  # one model may do both
        parts["members"] = {name: larger[id(model)] for name, model in trained.members.items()}
        parts["rating_models"] = {name: larger[id(model)] for name, model in trained.rating_models.items()}
        if state.knowledge is not None:
            parts["knowledge"] = state.knowledge.with_items(n_items)
        if trained.shared is not None:
            parts["shared"] = replace(trained.shared, counts=trained.shared.counts.with_items(n_items))
    new = LiveState(**parts, late=late)
    if "language" in state.__dict__:
        new.__dict__["language"] = state.language
    earlier = state.generator if "generator" in state.__dict__ else trained.generator
    new.__dict__["generator"] = generator_of(new, earlier, keep=not moved)
    return new


def generator_of(state: LiveState, earlier: ItemGenerator, *, keep: bool = True) -> ItemGenerator:
    """Return the generator of a state, with what an earlier one has read of prompts if that still holds."""
    data = TaskData(state.catalog, state.trained_on, state.domain)
    return earlier.with_items(state.llm, data, state.late.trie, keep=keep)


def _model(model: CollaborativeModel, late: LateItems, n_items: int) -> CollaborativeModel:
    if isinstance(model, TextKNN):
        return LateTexts(model, late.trained.text_vectors, late.vectors, late.near)
    return model.with_items(n_items)
