"""Packages of the distribution; all other metadata are in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fashion_lsh*"]), "fashion_lsh.conf", "hydra_plugins"],
    package_dir={"fashion_lsh.conf": "conf"},  # the config files are not inside the package folder in a checkout
)
