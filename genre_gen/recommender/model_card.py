"""The model card: README.md of a saved recommender, with the hub's metadata in front.

Its text is in ``prompts/_card/README.md.jinja``. Everything that comes from data or settings is escaped, so a
title or a name is text and neither Markdown nor HTML; the metadata is written by huggingface_hub. The same recommender
gives the same bytes.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np

from genre_gen.collaborative import MEMBERS, RATERS
from genre_gen.collaborative.base import CollaborativeModel
from genre_gen.data.printable import printable
from genre_gen.data.splits import SPLITS
from genre_gen.downloads.archives import DATA
from genre_gen.downloads.models import hub_id, licence_of
from genre_gen.downloads.paths import assets_folder
from genre_gen.explain.counts import MIN_USERS
from genre_gen.prompting.nouns import plural
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState

FILE = "README.md"
FOLDER = "_card"  # in prompts/; no domain can have this name
LIBRARY = "genre-gen"
TASK = "text-ranking"  # the hub's task that is closest: items, which are texts, ranked for a history
TAGS = ("recommender-system", "recommendation", "generative-recommendation", LIBRARY)
HUB_METRICS = {"R": "recall", "N": "ndcg", "MRR": "mrr"}
HUB_LICENCES = frozenset((
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "c-uda",
    "cc", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "ecl-2.0", "epl-1.0",
    "epl-2.0", "etalab-2.0", "eupl-1.1", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0",
    "mit", "mpl-2.0", "odbl", "odc-by", "openrail", "osl-3.0", "pddl", "unlicense", "wtfpl", "zlib",
))  # fmt: skip
"""Licences that the hub knows by these ids; any other is told by name."""

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#!|~&:@$]|(?<=www)\.)")
"""Marks that Markdown, HTML or the hub interpret within a line; each line of the template begins with its own words."""


class Markup(str):
    """Text that is Markdown already, which is not escaped again."""

    __slots__ = ()


def model_card(state: RecommenderState, name: str | None = None) -> str:
    """Return the card of a recommender; ``name`` is its id on the hub, None for a folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - what is printed is escaped for Markdown, by finalize
        loader=FileSystemLoader(assets_folder() / "prompts" / FOLDER), undefined=StrictUndefined, finalize=_escaped,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"code": code, "python": _python, "link": _link}
    body = environment.get_template(f"{FILE}.jinja").render(_facts(state, name))
    return f"---\n{metadata(state).to_yaml()}\n---\n{body}"


def metadata(state: RecommenderState) -> Any:
    """Return the hub's metadata of a recommender, a ``huggingface_hub.ModelCardData``."""
    from huggingface_hub import EvalResult, ModelCardData

    name, figures = state.domain.name, state.metrics.get("figures") or {}
    results = [
        EvalResult(
            task_type=TASK,
            task_name="Recommendation of the next item",
            dataset_type=name,
            dataset_name=name,
            dataset_split=printable(str(state.metrics.get("split") or "test")),
            metric_type=HUB_METRICS.get(metric.partition("@")[0], metric),
            metric_name=metric,
            metric_value=value,
        )
        for metric, value in (figures.get("GENRE") or {}).items()
    ]
    licence: Any = _licence(state)
    return ModelCardData(
        **licence,
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=[*TAGS],
        base_model=hub_id(state.domain.model.llm),
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def _licence(state: RecommenderState) -> dict[str, str]:
    """Return the data's licence as the hub takes it: an id, or a name and a link of another one."""
    _, licence, url = _origin(state)
    if licence is None:
        return {"license": "unknown"}
    if licence.casefold() in HUB_LICENCES:
        return {"license": licence.casefold()}
    name = re.sub(r"[^a-z0-9.]+", "-", (state.domain.data.source or licence).casefold()).strip("-")[:60] or "own"
    return {"license": "other", "license_name": name} | ({"license_link": url} if url else {})


def _origin(state: RecommenderState) -> tuple[str | None, str | None, str | None]:
    """Return the origin of the data, its licence and the licence's address; None for unknown values."""
    data = state.domain.data
    origin, licence, url = data.origin, data.license, data.license_url
    if data.source in DATA:
        package = next(iter(DATA[data.source].values()))
        link = re.search(r"https?://\S+", package.terms)
        origin = origin or data.source
        url = url or (link[0] if link and licence is None else None)
        licence = licence or package.terms.partition(": http")[0]
    return origin, licence, url


def _facts(state: RecommenderState, name: str | None) -> dict[str, Any]:
    """Return the variables of the template."""
    domain, llm, counts = state.domain, state.llm, state.item_counts
    origin, licence, url = _origin(state)
    members = {LLM_MEMBER: None, **state.members}
    return {
        "name": name,
        "domain": domain.name,
        "noun": domain.noun,
        "nouns": domain.nouns or plural(domain.noun),
        "data": state.data,
        "items": len(state.catalog),
        "cold": int((counts == 0).sum()),
        "rare": _rare(state),
        "few": MIN_USERS,
        "learned": int(counts.sum()),
        "fields": tuple(domain.fields),
        "origin": origin,
        "licence": licence,
        "licence_url": url,
        "base": hub_id(domain.model.llm),
        "base_licence": licence_of(domain.model.llm),
        "model": domain.model,
        "layers": len(llm.item_backbone.layers),
        "base_layers": llm.full_depth,
        "tasks": sorted(task for task, settings in domain.tasks.items() if settings.weight > 0),
        "codes": domain.codes.scheme,
        "code_length": llm.codes.codes.shape[1],
        "serving": domain.serving.quantization,
        "ended": state.tuned.ended,
        "left_out": dict(state.tuned.left_out),
        "blend": sorted(state.blend.weights.items(), key=lambda pair: (-pair[1], pair[0])),
        "about": {member: _about(model) for member, model in members.items()},
        "raters": {} if state.tuned.ratings is None else dict(state.tuned.ratings.weights),
        "foreign": sorted({*state.members, *state.rating_models} - {*MEMBERS.built_in(), *RATERS.built_in()}),
        "metrics": state.metrics,
        "command": Markup(_command(state)),
        "repeat": domain.repeat,
        "shared": state.shared is not None,
        "titles": list(_example(state)),
        "graph": state.knowledge is not None,
        "version": _version(),
    }


def _command(state: RecommenderState) -> str:
    """Return the arguments of the command line that reproduce the figures."""
    split, _, part = str(state.metrics.get("split") or "").partition(", ")
    known = split in SPLITS and part in {"test", "validation"}
    return f"{state.domain.name} --split {split} --part {part}" if known else state.domain.name


def _rare(state: RecommenderState) -> int:
    """Return the number of items with fewer users than a count of pairs needs, for a recommender without histories."""
    if state.shared is None:
        return 0
    users = state.shared.counts.users_with
    return int(((users > 0) & (users < MIN_USERS)).sum())


def _about(model: CollaborativeModel | None) -> str:
    """Return the description of a member, from the first line of its class."""
    if model is None:
        return "the language model"
    return (type(model).__doc__ or "").strip().split("\n")[0].rstrip(".")


def _example(state: RecommenderState) -> Iterator[str]:
    """Yield the titles of the two items with most interactions that can be typed."""
    found = 0
    for row in np.argsort(-state.item_counts, kind="stable").tolist():
        title = state.catalog[row].title
        if printable(title) == title and state.catalog.meant(title) == (row,):
            yield title
            found += 1
        if found == 2:  # noqa: PLR2004 - enough for an example
            return


def _version() -> str:
    from genre_gen import __version__

    return __version__


def _escaped(value: Any) -> Any:
    """Return text with each mark of Markdown escaped, on one line; numbers and Markdown as they are."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _ACTIVE.sub(r"\\\1", printable(" ".join(value.split())))


def code(value: Any) -> Markup:
    """Return text as a code span, in which nothing is Markdown; no run of backticks in it can end it."""
    text = printable(" ".join(str(value).split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    room = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return Markup(f"{fence}{room}{text}{room}{fence}")


def _link(value: Any) -> Markup:
    """Return an address, or a part of one, with everything encoded that could end it."""
    return Markup(urllib.parse.quote(str(value), safe="/:?=&%#~+,;@"))


def _python(value: Any) -> Markup:
    """Return text as Python writes it, on one line, for a block of code."""
    return Markup(json.dumps(value, ensure_ascii=False))
