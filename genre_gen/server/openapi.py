"""The documentation of the interface: what each operation takes and answers, with an example of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import JSONResponse, Response

from genre_gen import __version__
from genre_gen.server.declaration import Operation
from genre_gen.server.errors import MEDIA_TYPE, Problem

JSON = "application/json"
_REF = "#/components/schemas/{model}"
_PART = re.compile(r"\{(\w+)(?::\w+)?\}")

DESCRIPTION = """Recommendations that follow each event: a list is computed when it is asked for, from the history with
all events that were acknowledged before. Send a key as `Authorization: Bearer gk_...` or as `X-API-Key`. Errors are
`application/problem+json`, and their `detail` says what to do. Each answer has an `X-Request-Id`."""

EXAMPLES: Mapping[str, Any] = {
    "domain": "movies",
    "user": "17",
    "item": "12",
    "list": "01938000-0000-7000-8000-000000000000",
    "prefix": "examples",
}
"""Values of parameters in examples: a user and an item of the movies domain."""

PARTS = {
    "domain": "a served domain, see GET /v1/domains",
    "user": "a user's id",
    "item": "an item's id",
    "list": "the id of a list that was served",
    "prefix": "the public part of a key: the 8 characters after gk_",
}
_USUAL = (401, 403, 404, 422, 429, 503)
_WITH_BODY = (400, 413, 415)


def about(method: str, path: str, declared: Operation, doc: str) -> dict[str, Any]:
    """Return what the framework documents of an operation, from its declaration and docstring."""
    first, _, rest = " ".join(doc.split()).partition(". ")
    statuses = {*_USUAL} if declared.role is not None else {422, 503}
    statuses |= {*declared.errors} | ({*_WITH_BODY} if declared.body is not None else set())
    if declared.repeatable:
        statuses |= {409}
    extra: dict[str, Any] = {"parameters": list(_parameters(path, declared))}
    if declared.role is not None:
        extra |= {"security": [{"bearer": []}, {"header": []}], "x-role": declared.role.name.lower()}
    if declared.body is not None:
        content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=declared.body.__name__)}}
        if declared.example is not None:
            content["example"] = declared.example
        extra["requestBody"] = {"required": True, "content": {JSON: content}}
    responses = {status: _problem(status) for status in sorted(statuses)}
    if declared.media is not None:
        responses[declared.status] = {"content": {declared.media: {"schema": {"type": "string"}}}}
    return {
        "summary": first.removesuffix("."),
        "description": rest or None,
        "tags": [_tag(path)],
        "responses": responses,
        "response_class": JSONResponse if declared.media is None else Response,
        "openapi_extra": extra,
    }


def _tag(path: str) -> str:
    parts = [part for part in path.split("/") if part and not part.startswith(("v1", "{"))]
    return parts[0] if parts else "server"


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=Problem.__name__)}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}


def _parameters(path: str, declared: Operation) -> Iterator[dict[str, Any]]:
    examples = {**EXAMPLES, **(declared.parameters or {})}
    for name in _PART.findall(path):
        schema = {"type": "string", "minLength": 1, "maxLength": 500}
        yield {"name": name, "in": "path", "required": True, "description": PARTS[name], "schema": schema,
               "example": examples[name]}  # fmt: skip
    if declared.query is not None:
        yield from _query(declared.query, examples)
    milliseconds = {"type": "integer", "minimum": 1, "maximum": 60_000}
    if declared.role is not None:
        yield {"name": "X-Timeout-Ms", "in": "header", "required": False, "schema": milliseconds,
               "description": "how long the answer is waited for"}  # fmt: skip
    if declared.repeatable:
        yield {"name": "Idempotency-Key", "in": "header", "required": False,
               "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
               "description": "the same name and body again get the first answer again"}  # fmt: skip


def _query(model: type[BaseModel], examples: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema()
    for name, part in schema["properties"].items():
        options = [each for each in part.get("anyOf", [part]) if each.get("type") != "null"]
        plain = {key: value for key, value in options[0].items() if key not in {"title", "description"}}
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": plain}
        if "description" in part:
            parameter["description"] = part["description"]
        if name in examples and (parameter["required"] or name == "user"):
            parameter["example"] = examples[name]
        yield parameter


def install(app: FastAPI, bodies: list[type[BaseModel]]) -> None:
    """Give an app its documentation; ``bodies`` are the models that requests hold."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title="GENRE", version=__version__, description=" ".join(DESCRIPTION.split()), routes=app.routes
            )
            models: list[type[BaseModel]] = [*bodies, Problem]
            _, held = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
            components = schema.setdefault("components", {})
            components["schemas"] = {**components.get("schemas", {}), **held["$defs"]}
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]
