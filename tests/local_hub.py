"""A model hub on this machine: the part of the hub's HTTP interface that huggingface_hub uses to push and to load.

Repositories with branches, commits and pull requests; regular files inside a commit, large ones by Git LFS; tokens with
the right to write to some owners; validation of a card's metadata by the hub's rules.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from local_server import Handler, LocalServer

SLUG = re.compile(r"(?:[\w-]+/)?[\w.-]+")
TASKS = {"text-ranking", "text-generation", "other"}
LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "cc0-1.0", "unknown", "other"}
LARGE = ".safetensors"


@dataclass
class Repository:
    """Branches by name, each a list of commits, the last its head; a commit is path -> content."""

    private: bool = False
    branches: dict[str, list[dict[str, bytes]]] = field(default_factory=lambda: {"main": [{}]})

    def files(self, revision: str) -> dict[str, bytes] | None:
        for name, commits in self.branches.items():
            for files in commits:
                if revision in {commit_id(files), name} and (revision != name or files is commits[-1]):
                    return files
        return None


def commit_id(files: dict[str, bytes]) -> str:
    content = json.dumps({path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())})
    return hashlib.sha1(content.encode()).hexdigest()


class LocalHub(LocalServer):
    """The hub.

    Attributes:
        tokens: token -> owners that it may write to.
        repositories: id -> repository.
        large: what was uploaded by LFS: SHA-256 -> content.
        seen: (method, path, headers, body) of each request.
        breaks_at: the server breaks off at the first request whose path holds this text, and at each one after it.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, set[str]] = {}
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.breaks_at: str | None = None
        self.broken = False
        super().__init__(HubHandler)

    def head(self, repo_id: str, branch: str = "main") -> dict[str, bytes]:
        return self.repositories[repo_id].branches[branch][-1]


class HubHandler(Handler):
    def do_HEAD(self) -> None:
        self.route()

    def do_GET(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route()

    def do_PUT(self) -> None:
        self.route()

    def route(self) -> None:
        hub, url = self.local, urllib.parse.urlsplit(self.path)
        path, self.query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.seen.append((self.command, path, dict(self.headers), self.body))
        hub.broken = hub.broken or bool(hub.breaks_at and hub.breaks_at in path)
        if hub.broken:
            self.close_connection = True
            self.connection.close()
            return
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split():
                getattr(self, answer)(**match.groupdict())
                return
        self.json(404, {"error": f"no {self.command} {path}"})

    # what a request may do

    @property
    def token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def may_write(self, repo_id: str) -> bool:
        """Answer 401 or 403, and return False, where the token is unknown or has no right to the owner."""
        owners = self.local.tokens.get(self.token or "")
        if owners is None:
            self.json(401, {"error": "Invalid username or password."})
        elif repo_id.partition("/")[0] not in owners:
            self.json(403, {"error": f"You don't have the rights to write to {repo_id}"})
        return owners is not None and repo_id.partition("/")[0] in owners

    def repository(self, repo_id: str) -> Repository | None:
        """Return a repository that the token may see; answer as the hub does where there is none."""
        found = self.local.repositories.get(repo_id)
        owners = self.local.tokens.get(self.token or "", set())
        if found is None or (found.private and repo_id.partition("/")[0] not in owners):
            self.json(404 if self.token else 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return found

    def files(self, repo_id: str, revision: str) -> dict[str, bytes] | None:
        found = self.repository(repo_id)
        if found is None:
            return None
        files = found.files(revision)
        if files is None:
            self.json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        return files

    # the routes

    def create(self) -> None:
        asked = json.loads(self.body)
        repo_id = f"{asked['organization']}/{asked['name']}"
        if not self.may_write(repo_id):
            return
        url = {"url": f"{self.local.url}/{repo_id}"}
        if repo_id in self.local.repositories:
            self.json(409, {"error": "You already created this model repo", **url})
            return
        private = asked.get("private") or asked.get("visibility") == "private"
        self.local.repositories[repo_id] = Repository(private)
        self.json(200, url)

    def info(self, repo_id: str, revision: str | None = None) -> None:
        files = self.files(repo_id, revision or "main")
        if files is not None:
            self.json(
                200,
                {
                    "_id": "0", "id": repo_id, "modelId": repo_id, "sha": commit_id(files),
                    "private": self.local.repositories[repo_id].private,
                    "siblings": [{"rfilename": path} for path in sorted(files)],
                },
            )  # fmt: skip

    def tree(self, repo_id: str, revision: str) -> None:
        files = self.files(repo_id, revision)
        if files is not None:
            self.json(200, [entry(path, content) for path, content in sorted(files.items())])

    def branch(self, repo_id: str, branch: str) -> None:
        if self.may_write(repo_id) and (found := self.repository(repo_id)):
            if branch in found.branches:
                self.json(409, {"error": "Reference already exists"})
            else:
                found.branches[branch] = [found.branches["main"][-1]]
                self.json(200, {})

    def validate(self) -> None:
        problems = card_problems(json.loads(self.body)["content"])
        errors = [{"message": problem} for problem in problems]
        self.json(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, repo_id: str, revision: str) -> None:
        create_pr = "create_pr" in self.query
        if (create_pr or self.may_write(repo_id)) and (files := self.files(repo_id, revision)) is not None:
            answers = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": entry(file["path"], files[file["path"]])["oid"] if file["path"] in files else None,
                }
                for file in json.loads(self.body)["files"]
            ]
            self.json(200, {"files": answers})

    def batch(self, repo_id: str) -> None:
        if self.repository(repo_id) and self.token in self.local.tokens:  # also for a pull request
            objects = [
                asked
                if asked["oid"] in self.local.large
                else {**asked, "actions": {"upload": {"href": f"{self.local.url}/large/{asked['oid']}"}}}
                for asked in json.loads(self.body)["objects"]
            ]
            self.json(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        right = hashlib.sha256(self.body).hexdigest() == oid
        if right:
            self.local.large[oid] = self.body
        self.json(200 if right else 400, {})

    def commit(self, repo_id: str, revision: str) -> None:
        create_pr = "create_pr" in self.query
        found = self.repository(repo_id)
        if found is None or not (create_pr or self.may_write(repo_id)):
            return
        files = dict(found.branches[revision][-1])
        for line in map(json.loads, self.body.splitlines()):
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.local.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        if create_pr:
            revision = f"refs/pr/{len(found.branches)}"
        found.branches.setdefault(revision, []).append(files)
        base = f"{self.local.url}/{repo_id}"
        answer: dict[str, Any] = {"commitOid": commit_id(files), "commitUrl": f"{base}/commit/{commit_id(files)}"}
        self.json(200, answer | ({"pullRequestUrl": f"{base}/discussions/1"} if create_pr else {}))

    def resolve(self, repo_id: str, revision: str, path: str) -> None:
        files = self.files(repo_id, revision)
        if files is None:
            return
        if path not in files:
            self.json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        about = entry(path, files[path])
        etag = about.get("lfs", about)["oid"]
        self.bytes(200, files[path], {"ETag": f'"{etag}"', "X-Repo-Commit": commit_id(files)})

    def json(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self.bytes(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def bytes(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        super().head(status, headers, len(content))
        if self.command != "HEAD":
            self.wfile.write(content)


REPO, REVISION = r"(?P<repo_id>[^/]+/[^/]+?)", r"(?P<revision>refs/pr/\d+|[^/]+)"
ROUTES = (
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("GET", rf"/api/models/{REPO}/tree/{REVISION}", "tree"),
    ("POST", rf"/api/models/{REPO}/branch/(?P<branch>.+)", "branch"),
    ("POST", rf"/api/models/{REPO}/preupload/{REVISION}", "preupload"),
    ("POST", rf"/api/models/{REPO}/commit/{REVISION}", "commit"),
    ("GET", rf"/api/models/{REPO}/revision/{REVISION}", "info"),
    ("GET", rf"/api/models/{REPO}", "info"),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", "/large/(?P<oid>[0-9a-f]{64})", "upload"),
    ("GET HEAD", rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)", "resolve"),
)


def entry(path: str, content: bytes) -> dict[str, Any]:
    """Return what a listing says of a file: the id of its Git blob, and its SHA-256 where it is large."""
    about: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
    if path.endswith(LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        about["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
        content = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
    return {**about, "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}


def card_problems(card: str) -> list[str]:
    """Return what the hub would refuse of a card's metadata."""
    begin, found, rest = card.partition("---\n")
    content = yaml.safe_load(rest.partition("\n---\n")[0]) if found and not begin else None
    if not isinstance(content, dict):
        return ["no metadata"]
    named = content.get("license") != "other" or re.fullmatch(r"[a-z0-9-.]+", content.get("license_name") or "")
    texts = [value for key in ("tags", "metrics", "datasets") for value in content.get(key, [])]
    results = [result for model in content.get("model-index", []) for result in model["results"]]
    metrics = [metric for result in results for metric in result["metrics"]]
    rules = {
        f'"license" must be one of {sorted(LICENCES)}': content.get("license") in LICENCES,
        '"license_name" must be a lower-case slug': named,
        '"pipeline_tag" is no task of the hub': content.get("pipeline_tag") in TASKS,
        '"tags", "metrics" and "datasets" must be arrays of texts': all(isinstance(text, str) for text in texts),
        '"base_model" must be an id of a model': SLUG.fullmatch(content.get("base_model", "owner/name")),
        '"dataset.type" fails to match the required pattern': all(
            SLUG.fullmatch(r["dataset"]["type"]) for r in results
        ),
        '"metrics" lack a type or a value': all({"type", "value"} <= metric.keys() for metric in metrics),
    }
    return [problem for problem, kept in rules.items() if not kept]


@contextmanager
def local_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, model: Path) -> Iterator[LocalHub]:
    """Run a hub that huggingface_hub takes for its own, with the tiny model on it as ``lab/tiny``.

    ``good`` is a token that may write to ``lab``, ``poor`` one that may write to ``else``. Everything is kept below
    ``folder``.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    hub = LocalHub()
    hub.tokens |= {"good": {"lab"}, "poor": {"else"}}
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    hub.repositories["lab/tiny"] = Repository(branches={"main": [files]})
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its chunks go to a server of another kind
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))  # between tries
    monkeypatch.setenv("GENRE_HOME", str(folder / "home"))
    monkeypatch.setenv("HF_TOKEN", "good")
    yield hub
    hub.close()
