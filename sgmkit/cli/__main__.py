"""``python -m sgmkit.cli`` is the command ``sgmkit``."""

import sys

from sgmkit.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
