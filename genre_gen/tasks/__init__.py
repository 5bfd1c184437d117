"""The tasks that the language model learns, by name in the registry ``TASKS``."""

from __future__ import annotations

from genre_gen.registry import TASKS
from genre_gen.tasks.base import Example, Task, TaskData

__all__ = ["TASKS", "Example", "Task", "TaskData"]
