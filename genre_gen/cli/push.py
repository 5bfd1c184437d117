"""The command that shares a trained recommender: push."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from genre_gen.cli.options import AllowModel, AsJson, Plugins, folder_or_domain, load, show
from genre_gen.errors import OutputError, UsageError


def push(
    run: Annotated[str, typer.Argument(help="Folder of a trained recommender, or a domain's name for runs/DOMAIN.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the model hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    with_histories: Annotated[bool, typer.Option("--with-histories", help="Push the histories of users too.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to [main].")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead.")] = False,
    message: Annotated[str, typer.Option(help="First line of the commit.")] = "Upload recommender",
    base_model: Annotated[
        str | None, typer.Option(help="Hub id of the pre-trained model, if it was trained from a local folder.")
    ] = None,
    plugins: Plugins = None,
    allow_model: AllowModel = None,
    as_json: AsJson = False,
) -> None:
    """Push a trained recommender and its card to the model hub, without the histories of users.

    The token is the one of `hf auth login`, or HF_TOKEN; none is taken on the command line, where others could read it.
    """
    from genre_gen.recommender.hub import check_repository

    check_repository(repository)  # before minutes of loading
    recommender = load(*folder_or_domain(run), plugins=plugins, allow_model=allow_model)
    try:
        commit = recommender.push_to_hub(
            repository,
            private=private or None,
            histories=with_histories,
            revision=revision,
            create_pr=create_pr,
            commit_message=message,
            base_model=base_model,
        )
    except (UsageError, OutputError) as problem:
        told = str(problem).replace("as base_model", "as --base-model").replace("(create_pr)", "(--create-pr)")
        raise type(problem)(told) from None
    pushed = {"repository": repository, "commit": commit.commit_url, "histories": with_histories}
    show(json.dumps(pushed) if as_json else f"pushed to {commit.pr_url or commit.commit_url}")
