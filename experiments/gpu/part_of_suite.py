"""A plugin of pytest that runs every n-th test: PART=0/3 is the first of three parts."""

import os

import pytest


@pytest.hookimpl(trylast=True)  # after -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep this part's tests."""
    part, parts = map(int, os.environ.get("PART", "0/1").split("/"))
    config.hook.pytest_deselected(items=[i for n, i in enumerate(items) if n % parts != part])
    items[:] = items[part::parts]
