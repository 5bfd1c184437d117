"""Is a graph tied to the right items? Do items that share something in it share more of the catalog's labels?

    python eval/knowledge_links.py movies                       # [knowledge] of the domain
    python eval/knowledge_links.py movies --triples ml-100k.kg --links ml-100k.link --relations film.film.directed_by=of

Told are the pairs of items that share an entity, how alike they are by the catalog's labels (mean cosine), and how
alike when the graph's items are dealt anew at random, 99 times (mean and most). As a control the links are also shifted
by one item, which must look like chance. An explanation that cites wrong links is false, and no check against the graph
can notice.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from leaderboard import told

from genre_gen.data.catalog import Catalog
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.readers import find_near, load_catalog
from genre_gen.domain import Domain


@told()
def main() -> None:
    """Measure, print, add to the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", help="name or folder")
    parser.add_argument("--triples", help="another file of triples")
    parser.add_argument("--links", help="and its links")
    parser.add_argument("--relations", nargs="+", default=[], help="and its relations, as RELATION=NAME")
    parser.add_argument("--json", type=Path, default=Path("eval/results/knowledge_links.json"))
    options = parser.parse_args()
    domain = Domain.load(options.domain)
    if options.triples:
        relations = {name: {"relation": relation} for relation, name in (one.split("=") for one in options.relations)}
        settings = {"triples": options.triples, "links": options.links, "relations": relations}
        domain = domain.changed({"knowledge": {key: value for key, value in settings.items() if value}})
    result = measured(domain, load_catalog(domain)[0])
    print("\n".join(f"{key:24} {value}" for key, value in result.items()))
    known = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    known[f"{domain.name}, {domain.knowledge.triples}, {' '.join(options.relations) or 'as set'}"] = result
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def measured(domain: Domain, catalog: Catalog) -> dict[str, Any]:
    """Return how alike items are that share something, as they are tied and at random."""
    settings = domain.knowledge
    files = {name: find_near(domain, name) for name in (settings.triples, settings.links) if name}
    if missing := [name for name, file in files.items() if file is None]:
        raise SystemExit(f"no {' and no '.join(missing) or 'triples'} beside the domain or among its data")
    graph = Knowledge.read(settings, catalog, {name: file for name, file in files.items() if file is not None})
    shifted = graph.triples.copy()
    shifted[:, 0] = (shifted[:, 0] + 1) % graph.n_items
    pairs, given, dealt = graph.likeness(catalog)
    return {
        "triples": len(graph.triples),
        "items": len(np.unique(graph.triples[:, 0])),
        "pairs": pairs,
        "likeness": round(given, 4),
        "likeness, dealt anew": [round(float(value), 4) for value in (np.mean(dealt), max(dealt))],
        "likeness, shifted by one": round(replace(graph, triples=shifted).likeness(catalog)[1], 4),
        "believed": graph.agrees(catalog),
    }


if __name__ == "__main__":
    main()
