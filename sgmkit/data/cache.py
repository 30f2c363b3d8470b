"""Where downloaded weights and computed features are kept between runs."""

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """The cache directory of sgmkit; it may not exist yet.

    - ``$SGMKIT_CACHE``, if that is set;
    - else the platform's: ``~/.cache/sgmkit`` on Linux (``$XDG_CACHE_HOME/sgmkit`` if that is set),
      ``~/Library/Caches/sgmkit`` on macOS, ``%LOCALAPPDATA%\\sgmkit\\Cache`` on Windows;
    - but if that does not exist and an earlier version of sgmkit, which used the place of Linux on
      every platform, left a cache there, that cache is used on.
    """
    if path := os.environ.get("SGMKIT_CACHE"):
        return Path(path).expanduser()
    current = platformdirs.user_cache_path("sgmkit", appauthor=False)
    earlier = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sgmkit"
    return earlier if earlier.is_dir() and not current.exists() else current
