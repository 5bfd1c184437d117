"""Puts the top-level catalogs/ and prompts/ into the wheel; everything else about the package is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithAssets(build_py):
    """Copies the shipped domains to where ``genre_gen.downloads.paths.assets_folder`` looks in an installed package.

    An editable install finds them beside the package, where people edit them.
    """

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        assets = Path(self.build_lib, "genre_gen", "_assets")
        shutil.rmtree(assets, ignore_errors=True)  # an earlier build may have left files that are gone
        for name in ("catalogs", "prompts"):
            shutil.copytree(name, assets / name)


setup(cmdclass={"build_py": BuildWithAssets})
