"""PromptBook: a domain's templates, rendered to spans, each of which is trusted or untrusted.

A prompt is never one string. The template's own words and item codes are trusted; every value that a template prints
is untrusted (see :mod:`genre_gen.prompting.sandbox`). Training and serving render through the same book.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.environment import Template

from genre_gen.data.arguments import check_type
from genre_gen.domain import Domain
from genre_gen.errors import PromptError
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.languages.settings import ENGLISH
from genre_gen.prompting.budget import spending
from genre_gen.prompting.nouns import Noun
from genre_gen.prompting.parsed import BookEnvironment, ParsedTemplate, parsed
from genre_gen.prompting.spans import ROLES, Message, Prompt, Role, Span, merged, stripped
from genre_gen.prompting.templates import check_size, find_templates, in_language, read_template, template_folders
from genre_gen.prompting.variables import TASK_VARIABLES, VARIABLES
from genre_gen.registry import TASKS
from genre_gen.settings import suggestion

_NAME = re.compile(r"(?P<task>.+?)\.(?P<role>\w+)\.jinja")


class PromptBook:
    """The templates of a domain: ``<task>.<role>.jinja`` for each task and role, and any files they include.

    All files are read and checked once: mistakes are found before any work is done, and the templates that are rendered
    are those that were fingerprinted. ``prompts/README.md`` describes what a template may contain.

    Example:
        >>> book = PromptBook.load(domain)
        >>> prompt = book.render("title", item=recommender.state.generator.data.entry(0), domain="movies")
        >>> [message.role for message in prompt.messages]
        ['system', 'user', 'assistant']
    """

    def __init__(
        self,
        folder: Path,
        fallbacks: Sequence[Path] = (),
        noun: Noun | None = None,
        tasks: Mapping[str, Any] | None = None,
        language: str = ENGLISH,
    ) -> None:
        """Read and check every ``*.jinja`` file of a folder, and missing ones from fallback folders.

        Args:
            folder: the domain's own templates.
            fallbacks: folders for templates that ``folder`` lacks, in order of preference.
            noun: the word for an item.
            tasks: tasks of other packages by name; they define ``variables``, and ``templates`` as the last fallback.
            language: of the templates; it selects the folder of each task's templates.

        Raises:
            PromptError: the folder has no templates, or one has a mistake; the message names file and line.
        """
        brought = (in_language(Path(task.templates), language) for task in (tasks or {}).values())
        files = find_templates((Path(folder), *fallbacks, *brought))
        noun = noun or Noun()
        sources = {name: noun.put_into(read_template(file)) for name, file in files.items()}
        self._take(Path(folder), sources, {name: str(file) for name, file in files.items()}, tasks or {})

    @classmethod
    def from_sources(
        cls, folder: Path, sources: Mapping[str, str], tasks: Mapping[str, Any] | None = None
    ) -> PromptBook:
        """Return a book of templates that were read before; ``folder`` is where messages say that they are.

        Raises:
            PromptError: as for those that are read from a folder.

        Example:
            >>> book = recommender.state.book
            >>> PromptBook.from_sources(book.folder, book.sources).fingerprint("intent") == book.fingerprint("intent")
            True
        """
        book = cls.__new__(cls)
        for name, source in sources.items():
            check_size(len(source.encode()), str(folder / name))
        book._take(folder, dict(sources), {name: str(folder / name) for name in sources}, tasks or {})
        return book

    def _take(self, folder: Path, sources: dict[str, str], files: dict[str, str], tasks: Mapping[str, Any]) -> None:
        """Parse and check templates."""
        if not sources:
            raise PromptError(f"no templates (*.jinja) in {folder}")
        self.folder, self._tasks, self._files, self._sources = folder, dict(tasks), files, sources
        self._environment = BookEnvironment(self._sources, self._files)
        self._parsed = {name: self._parse(name) for name in self._sources}
        for name in self._sources:
            self._check(name)

    @classmethod
    def load(cls, domain: Domain, language: str | None = None) -> PromptBook:
        """Return the templates of a domain, with generic ones for those it lacks.

        Args:
            domain: the domain.
            language: of the templates; by default the domain's.

        Raises:
            PromptError: invalid templates, or none in that language.
            ConfigError: no such language.

        Example:
            >>> book = PromptBook.load(Domain.load("movies"))
            >>> "rating.user.jinja" in book.sources
            True
        """
        check_type(domain, Domain, "domain", "a domain, such as Domain.load('movies')")
        words = DomainLanguage.of(domain, language or domain.language)
        own, *others = template_folders(domain, words.code)
        return cls(own, others, words.noun, TASKS.added(domain.tasks), words.code)

    def save(self, folder: Path) -> None:
        """Write all templates as they were read, even if their files changed. The copy needs no fallback folders.

        Example:
            >>> book.save(Path("templates"))
            >>> Path("templates/rating.user.jinja").exists()
            True
        """
        for name, source in self._sources.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8", newline="\n")

    def variables(self, task: str) -> dict[str, str]:
        """Return the variables of a task's templates and what each means; raises PromptError.

        Example:
            >>> list(book.variables("title"))
            ['domain', 'item', 'answer']
        """
        if task in self._tasks:
            return dict(self._tasks[task].variables)
        try:
            return {name: VARIABLES[name] for name in TASK_VARIABLES[task]}
        except KeyError:
            known = ", ".join(TASK_VARIABLES)
            raise PromptError(f"no task {task!r}{suggestion(task, TASK_VARIABLES)}; there are {known}") from None

    @property
    def tasks(self) -> Mapping[str, Any]:
        """Return the tasks of other packages that have templates here.

        Example:
            >>> dict(book.tasks)
            {}
        """
        return self._tasks

    @property
    def sources(self) -> Mapping[str, str]:
        """Return the sources of all templates by name.

        Example:
            >>> sorted(book.sources)[0]
            'catalog_text.assistant.jinja'
        """
        return self._sources

    def fingerprint(self, task: str) -> str:
        """Return a SHA-256 over the sources of a task's templates and of every file they include.

        Example:
            >>> len(book.fingerprint("title"))
            64
        """
        digest = hashlib.sha256()
        for name in sorted({part for role in ROLES for part in self._closure(self._name(task, role))}):
            for part in (name, self._sources[name]):
                digest.update(f"{len(part)}:{part}".encode())
        return digest.hexdigest()

    def render(self, task: str, *, open: bool = False, **variables: Any) -> Prompt:
        """Render a task's templates.

        Args:
            task: name of the task.
            open: whether the assistant's message is left unfinished for the model to continue.
            variables: see :meth:`variables`; missing ones are None.

        Raises:
            PromptError: a missing file, an unknown variable or field, or a template that exceeds its limits. The
                message names file and line.

        Example:
            >>> prompt = book.render("next_item", history=(), domain="movies", open=True)
            >>> prompt.messages[0].role, prompt.messages[0].text
            ('system', '…')
        """
        messages = self._messages(task, ROLES, variables)
        return Prompt(task, tuple(m for m in messages if m.spans or m.role != "system"), open)

    def file(self, task: str) -> str:
        """Return the file name of a task's assistant template; raises PromptError.

        Example:
            >>> book.file("title")
            '…title.assistant.jinja'
        """
        return self._files[self._name(task, "assistant")]

    def say(self, task: str, **variables: Any) -> Message:
        """Render only the assistant's message of a task; see :meth:`render`.

        Example:
            >>> book.say("title", answer="Toy Story (1995)").text
            'Toy Story (1995)'
        """
        return self._messages(task, ("assistant",), variables)[0]

    def _messages(self, task: str, roles: Sequence[Role], variables: Mapping[str, Any]) -> tuple[Message, ...]:
        allowed = self.variables(task)
        for name in variables:
            if name not in allowed:
                raise PromptError(
                    f"{task}: no variable {name!r}{suggestion(name, allowed)}; there are {', '.join(allowed)}"
                )
        values = {**dict.fromkeys(allowed), **variables}
        with spending():
            return tuple(Message(role, self._spans(self._name(task, role), values)) for role in roles)

    def _name(self, task: str, role: Role) -> str:
        name = f"{task}.{role}.jinja"
        if name not in self._sources:
            expected = ", ".join(f"{task}.{role}.jinja" for role in ROLES)
            raise PromptError(f"{self.folder / name}: no such file; the task {task!r} needs {expected}")
        return name

    def _spans(self, name: str, values: Mapping[str, Any]) -> tuple[Span, ...]:
        try:
            return stripped(tuple(merged(self._environment.pieces(name, values))))
        except RecursionError:
            raise PromptError(f"{self._files[name]}: macros call each other endlessly") from None
        except Exception as error:  # any mistake of a template surfaces here
            where = _position(error) or self._files[name]
            raise PromptError(f"{where}: {getattr(error, 'message', None) or error}") from error

    def _parse(self, name: str) -> ParsedTemplate:
        """Parse and compile a file, so that syntax errors are found when it is read."""
        try:
            return parsed(self._sources[name], name)
        except TemplateSyntaxError as error:
            raise PromptError(f"{self._files[name]}:{error.lineno}: {error.message}") from None
        except (RecursionError, MemoryError, SyntaxError):
            raise PromptError(f"{self._files[name]}: nested too deeply") from None
        except (TemplateError, ValueError) as error:
            raise PromptError(f"{self._files[name]}: {error}") from None

    def _check(self, name: str) -> None:
        """Raise PromptError for constructs that prompts do not allow, unknown includes and undeclared variables."""
        file = self._files[name]
        if (problem := self._parsed[name].refused) is not None:
            raise PromptError(f"{file}:{problem[0]}: {problem[1]}")
        parts = self._closure(name)
        match = _NAME.fullmatch(name)
        if match is None:
            return  # a file to include: checked with each template that includes it
        task, role = match["task"], match["role"]
        if role not in ROLES:
            raise PromptError(f"{file}: no role {role!r}{suggestion(role, ROLES)}; there are {', '.join(ROLES)}")
        try:
            allowed = self.variables(task)
        except PromptError as error:
            raise PromptError(f"{file}: {error}") from None
        for part in parts:
            local = self._parsed[part].set_somewhere
            if part != name:
                # An included file also sees the loop variables and macros of the files that include it.
                local = local.union({"loop"}, *(self._parsed[other].assigned for other in parts))
            for wanted in sorted(self._parsed[part].undeclared - set(allowed) - local):
                line = self._parsed[part].lines.get(wanted, 1)
                raise PromptError(
                    f"{self._files[part]}:{line}: no variable {wanted!r}{suggestion(wanted, allowed)}; "
                    f"the task {task!r} has {', '.join(allowed)}"
                )

    def _closure(self, name: str) -> list[str]:
        """Return a file and all files that it includes, each once."""
        names: list[str] = []
        self._collect(name, (), names)
        return names

    def _collect(self, name: str, above: tuple[str, ...], names: list[str]) -> None:
        for line, part in self._parsed[name].included:
            where = f"{self._files[name]}:{line}"
            if part not in self._sources:
                raise PromptError(f"{where}: no file {part!r} in {self.folder}{suggestion(part, self._sources)}")
            if part in (name, *above):
                raise PromptError(f"{where}: {part!r} includes itself")
            if part not in names:
                self._collect(part, (*above, name), names)
        names.append(name)


def _position(error: BaseException) -> str:
    """Return ``file:line`` of the innermost template that an error passed through."""
    position, traceback = "", error.__traceback__
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            position = f"{template.filename}:{template.get_corresponding_lineno(traceback.tb_lineno)}"
        traceback = traceback.tb_next
    return position
