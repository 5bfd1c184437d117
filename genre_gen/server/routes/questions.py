"""Routes of questions about single items."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from genre_gen.errors import UnknownItemError
from genre_gen.server.answer_schemas import CompareAnswer, ExplainAnswer, PredictAnswer, SimilarAnswer
from genre_gen.server.auth import Role
from genre_gen.server.operation import Call, Operation, operation
from genre_gen.server.refusals import NotFoundError
from genre_gen.server.schemas import AboutItem, CompareBody, SimilarQuery

router = APIRouter()
_ABOUT = {"user": "17", "item": "12"}


@operation(
    router,
    "GET",
    "/v1/{domain}/items/{item:path}/similar",
    Operation(Role.READ, SimilarAnswer, query=SimilarQuery, watched=True),
)
async def similar(call: Call) -> dict[str, Any]:
    """Find similar items. By interactions and texts; scores are from 0 to 1."""
    try:
        return await call.domain.questions.similar(call.path("item"), call.query.n, deadline=call.deadline)
    except UnknownItemError as problem:
        raise NotFoundError(str(problem)) from None


@operation(
    router,
    "POST",
    "/v1/{domain}/explain",
    Operation(Role.READ, ExplainAnswer, AboutItem, example=_ABOUT, watched=True, slow=True),
)
async def explain(call: Call) -> dict[str, Any]:
    """Explain an item. Why it would be recommended to a user or for a history, with facts that can be checked."""
    return await call.domain.questions.explain(call.body, deadline=call.deadline)


@operation(
    router,
    "POST",
    "/v1/{domain}/compare",
    Operation(Role.READ, CompareAnswer, CompareBody, example={**_ABOUT, "other": "5"}, watched=True, slow=True),
)
async def compare(call: Call) -> dict[str, Any]:
    """Compare two items. Why one is recommended rather than the other, by model and by item of the history."""
    return await call.domain.questions.compare(call.body, deadline=call.deadline)


@operation(
    router,
    "POST",
    "/v1/{domain}/predict",
    Operation(Role.READ, PredictAnswer, AboutItem, example=_ABOUT, watched=True, slow=True),
)
async def predict(call: Call) -> dict[str, Any]:
    """Predict a rating. On the scale of the data, with the reason."""
    return await call.domain.questions.predict(call.body, deadline=call.deadline)
