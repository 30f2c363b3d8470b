"""Where the cache directory is: what a user names, what the platform has, what was there before."""

import platformdirs
import pytest

from sgmkit.data import cache_directory


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home directory, on Linux, without settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "SGMKIT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_platform_says_where_it_is(home, monkeypatch):
    assert cache_directory() == home / ".cache" / "sgmkit"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert str(cache_directory()) == "/elsewhere/sgmkit"


def test_what_the_user_names_comes_first(home, monkeypatch):
    (home / ".cache" / "sgmkit").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("SGMKIT_CACHE", "~/mine")
    assert cache_directory() == home / "mine"


def test_a_cache_of_an_earlier_version_is_used_on(home, monkeypatch):
    """It was at the place of Linux on every platform."""
    current = home / "Library" / "Caches" / "sgmkit"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: current)
    assert cache_directory() == current
    earlier = home / ".cache" / "sgmkit"
    earlier.mkdir(parents=True)
    assert cache_directory() == earlier
    current.mkdir(parents=True)
    assert cache_directory() == current
