"""What mkdocs does not do by itself: pages from outside ``docs/``, so that links work here and on a code host."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {  # file of the repository -> page of the site
    "catalogs/README.md": "reference/settings.md",
    "prompts/README.md": "reference/templates.md",
    "eval/README.md": "reference/scripts.md",
    "eval/results/README.md": "reference/tables.md",
    "eval/results/leaderboard_ml-100k.png": "reference/leaderboard_ml-100k.png",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie elsewhere."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    if page.is_homepage:
        page.meta["hide"] = ["navigation", "toc"]  # here, so that a code host shows no table of it
    folder = PurePosixPath(SOURCES.get(here, f"docs/{here}")).parent

    def moved(link: re.Match[str]) -> str:
        target = normpath(folder / link["path"])
        place = PAGES.get(target, target.removeprefix("docs/"))
        if target not in PAGES and (here not in SOURCES or not target.startswith("docs/")):
            return link[0]
        return relpath(place, PurePosixPath(here).parent) + (link["anchor"] or "")

    return LINK.sub(moved, markdown)
