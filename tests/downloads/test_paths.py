"""Where things lie: the user's cache and the shipped assets."""

from pathlib import Path

import pytest

from genre_gen.downloads import paths
from genre_gen.errors import ConfigError


def test_home_is_the_variable_or_the_user_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "x"))
    assert paths.genre_home() == tmp_path / "x"
    monkeypatch.setenv("GENRE_HOME", "")
    assert paths.genre_home() == Path.home() / ".cache" / "genre_gen"


def test_assets_are_inside_an_installed_package_or_next_to_a_checkout(monkeypatch, tmp_path):
    package = tmp_path / "genre_gen"
    monkeypatch.setattr(paths, "_PACKAGE", package)
    with pytest.raises(ConfigError, match="reinstall"):
        paths.assets_folder()
    (tmp_path / "catalogs").mkdir()
    assert paths.assets_folder() == tmp_path
    (package / "_assets" / "catalogs").mkdir(parents=True)
    assert paths.assets_folder() == package / "_assets"
