"""The instructions the model learns, each in a file of its own."""

from __future__ import annotations

from genre_gen.tasks.base import Example, Task, TaskData
from genre_gen.tasks.catalog_text import CatalogText
from genre_gen.tasks.code import Code
from genre_gen.tasks.description import Description
from genre_gen.tasks.explanation import Explanation
from genre_gen.tasks.fits import Fits
from genre_gen.tasks.intent import Intent
from genre_gen.tasks.next_item import NextItem
from genre_gen.tasks.rating import Rating
from genre_gen.tasks.review import Review
from genre_gen.tasks.similar import Similar
from genre_gen.tasks.title import Title

_ALL: tuple[Task, ...] = (
    NextItem(),
    Rating(),
    Fits(),
    Similar(),
    Intent(),
    Title(),
    Description(),
    Code(),
    Explanation(),
    CatalogText(),
    Review(),
)
TASKS: dict[str, Task] = {task.name: task for task in _ALL}
"""Task name, as in ``domain.toml``, -> task."""

__all__ = ["TASKS", "Example", "Task", "TaskData"]
