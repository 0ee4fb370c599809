"""A small study, assessed."""

import pytest

from scripts.assessment import Assessment, Maps, assess_maps

from .study import beating_maps


@pytest.fixture(scope="session")
def ring() -> tuple[Maps, Assessment]:
    """Three slices of the ring."""
    maps = beating_maps()
    return maps, assess_maps(maps)


@pytest.fixture(scope="session")
def nothing() -> tuple[Maps, Assessment]:
    """One slice, no ventricle."""
    maps = beating_maps(1, ventricle=False)
    return maps, assess_maps(maps)
