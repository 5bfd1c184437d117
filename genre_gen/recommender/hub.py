"""Pushing a recommender to the model hub, with errors in one line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_gen.downloads.third_party_logging import quiet_libraries
from genre_gen.errors import GenreGenError, OutputError, UsageError
from genre_gen.recommender import persistence
from genre_gen.recommender.loading import HUB_ID
from genre_gen.recommender.sharing import with_base_model, without_paths
from genre_gen.recommender.state import RecommenderState

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

    from genre_gen.evaluation.report import Report

REPLACED = [name if "." in name else f"{name}/*" for name in (*persistence.NAMES, "manifest.json")]
"""Files of an earlier push that this one has no more, such as histories, are taken out with it."""


def check_repository(repo_id: str) -> None:
    """Raise UsageError if an id of a repository is invalid."""
    if not HUB_ID.fullmatch(repo_id):
        raise UsageError(f"{repo_id!r} is not a repository of the hub; write owner and name, such as owner/movies")


def push(
    state: RecommenderState,
    repo_id: str,
    private: bool | None = None,
    histories: bool = False,
    metrics: Report | Mapping[str, Any] | None = None,
    base_model: str | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Upload recommender",
    commit_description: str | None = None,
) -> CommitInfo:
    """Push a recommender; see :meth:`genre_gen.Recommender.push_to_hub`."""
    from huggingface_hub import HfApi

    check_repository(repo_id)
    state = without_paths(with_base_model(state, base_model))
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="genre-gen-") as scratch:
        folder = Path(scratch) / "recommender"
        persistence.save(state, folder, metrics, histories=histories, name=repo_id)
        with _told(repo_id, api):
            api.create_repo(repo_id, private=private, exist_ok=True)
            if private and not api.repo_info(repo_id).private:
                raise UsageError(f"{repo_id} exists and is public; make it private on the hub, or choose another name")
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=commit_message,
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
                delete_patterns=REPLACED,
            )


@contextmanager
def _told(repo_id: str, api: HfApi) -> Iterator[None]:
    """Turn an error of the hub into one line, which never contains the token."""
    from huggingface_hub import errors as hub

    unharmed = "nothing was changed on this machine"
    try:
        with quiet_libraries():
            yield
    except GenreGenError:
        raise
    except hub.OfflineModeIsEnabled:
        raise OutputError(f"{repo_id} cannot be pushed while HF_HUB_OFFLINE is set; unset it, and push again") from None
    except hub.LocalTokenNotFoundError:
        raise OutputError(f"{repo_id}: no token of the hub; run `hf auth login`, or set HF_TOKEN") from None
    except hub.HfHubHTTPError as problem:
        status = problem.response.status_code
        if status == 401:  # noqa: PLR2004 - HTTP's
            reason = "the hub does not know this token; run `hf auth login`, or set HF_TOKEN to one that may write"
        elif status == 403:  # noqa: PLR2004
            reason = (
                "this token has no write access there; use one that has, your own repository, or open a "
                "pull request (create_pr)"
            )
        else:
            reason = f"the hub refused it: {_first_line(problem, api)}; {unharmed}"
        raise OutputError(f"{repo_id}: {reason}") from None
    except Exception as problem:  # the HTTP library's, the system's and the hub's errors share no base
        raise OutputError(
            f"{repo_id}: the hub cannot be reached, or broke off ({_first_line(problem, api)}); {unharmed}; push again"
        ) from None


def _first_line(problem: BaseException, api: HfApi) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    text = lines[0].rstrip(".") if lines else type(problem).__name__
    return text.replace(api.token, "...") if isinstance(api.token, str) and api.token else text
