"""Repositories of the model hub: some of their files, in the hub's own cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genre_gen.downloads.third_party_logging import quiet_libraries
from genre_gen.errors import SourceError


def download_repository(
    repo_id: str, patterns: Sequence[str], revision: str | None = None, token: str | bool | None = None
) -> Path:
    """Return a folder with the files of a repository whose names match a pattern, each fetched once.

    Args:
        repo_id: such as ``owner/name``.
        patterns: as of the shell.
        revision: a branch, tag or commit; None for ``main``.
        token: of the hub; None takes the one that is set for this machine.

    Raises:
        SourceError: no such repository or revision that may be seen, or the hub does not answer.
    """
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    begin = f"{repo_id}: no folder here, and the hub"
    try:
        with quiet_libraries():
            return Path(snapshot_download(repo_id, allow_patterns=[*patterns], revision=revision, token=token))
    except hub.RepositoryNotFoundError:
        reason = "has no repository of this name that you may see; check the id, and for a private one set HF_TOKEN"
    except hub.RevisionNotFoundError:
        reason = f"has no revision {revision!r} of it; check the branch, tag or commit"
    except (hub.HfHubHTTPError, OSError, ValueError) as problem:
        first = str(problem).strip().splitlines()[0].rstrip(".")
        reason = f"does not answer for it ({first}); check the network and HF_HUB_OFFLINE, or give a folder"
    raise SourceError(f"{begin} {reason}")
