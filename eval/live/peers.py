"""Servers to compare with: a constant answer, and the library behind a lock, as one would write it first.

    python -m eval.live.peers constant --port 8001
    python -m eval.live.peers naive --run runs/movies --port 8001

Both take the requests of the load generator. Neither stores events: *constant* is the ceiling of HTTP, and *naive*
answers each request with ``Recommender.recommend`` in a thread, one at a time.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on this machine."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("constant", "naive"))
    parser.add_argument("--run", type=Path, default=Path("runs/movies"))
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    app = constant() if options.peer == "constant" else naive(options.run)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


def constant(n: int = 10) -> FastAPI:
    """Return an app that answers each request with the same list."""
    app = _app()
    picks = [{"rank": rank, "item": f"m{rank}", "title": f"Film {rank}", "score": 1 / rank} for rank in range(1, n + 1)]

    @app.post("/v1/{domain}/recommend")
    async def recommend(request: Request) -> dict[str, Any]:
        await request.json()
        return {"id": "0", "generation": "g-0", "history_seq": 0, "items": picks, "notes": []}

    return app


def naive(run: Path) -> FastAPI:
    """Return an app that asks the recommender in a thread, one request at a time."""
    from genre_gen.recommender.recommender import Recommender

    app, recommender, lock = _app(), Recommender.from_pretrained(run), threading.Lock()

    @app.post("/v1/{domain}/recommend")
    def recommend(body: dict[str, Any]) -> dict[str, Any]:
        who = body.get("user") or body.get("history")
        with lock:
            picks = recommender.recommend(who, body.get("n", 10), explain=body.get("explain", False))
        items = [
            {"rank": pick.rank, "item": pick.item.id, "title": pick.item.title, "score": pick.score} for pick in picks
        ]
        return {"id": "0", "generation": "g-0", "history_seq": 0, "items": items, "notes": list(picks.notes)}

    return app


def _app() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/{domain}/events")
    async def events(request: Request) -> dict[str, int]:
        return {"accepted": len((await request.json())["events"]), "duplicates": 0, "seq": 0}

    return app


if __name__ == "__main__":
    main()
