"""A server whose model is exchanged on request, for ``eval.live.changes``: the trained one, and one with another blend.

    python -m eval.live.swapping --run runs/movies --port 8001 --store sqlite:///live/store.db

``POST /swap`` loads the other model from its folder while lists are served, serves it from the next batch on, and
answers with the seconds that each took.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    from genre_gen.recommender.recommender import Recommender
    from genre_gen.server.service import Service
    from genre_gen.server.settings import ServerSettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--domain", default="movies")
    parser.add_argument("--store", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    from genre_gen.server import run
    from genre_gen.server.settings import ServerSettings

    create = run.create_app
    run.create_app = partial(with_swap, create, options.run, options.domain)  # type: ignore[assignment]
    settings = ServerSettings(port=options.port, store=options.store, rate=1e6, burst=10**6)
    run.serve({options.domain: lambda: models(options.run)[0].state}, settings, partial(print, flush=True))


def with_swap(create: Any, folder: Path, domain: str, service: Service, settings: ServerSettings) -> FastAPI:
    """Return the server's app with a route that exchanges the model."""
    app: FastAPI = create(service, settings)
    turns = itertools.count(1)

    @app.post("/swap")
    async def swap() -> dict[str, Any]:
        begin = time.monotonic()
        state = (await asyncio.to_thread(models, folder))[next(turns) % 2].state
        loaded = time.monotonic()
        view = await service.domain(domain).swap(state)
        end = time.monotonic()
        return {"generation": view.generation, "load_seconds": loaded - begin, "seconds": end - loaded}

    return app


def models(folder: Path) -> tuple[Recommender, Recommender]:
    """Return the trained recommender, and one whose language model has another weight in the blend."""
    from genre_gen.blending.blend import Blend
    from genre_gen.recommender.recommender import Recommender
    from genre_gen.recommender.state import LLM_MEMBER

    trained = Recommender.from_pretrained(folder)
    weights = dict(trained.state.blend.weights)
    weights[LLM_MEMBER] = weights.get(LLM_MEMBER, 0.0) + 0.5
    blend = Blend({name: weight / sum(weights.values()) for name, weight in weights.items()})
    changed = replace(trained.state, tuned=replace(trained.state.tuned, blend=blend))
    return trained, Recommender.from_state(changed)


if __name__ == "__main__":
    main()
