"""``python -m tests.crash``: see ``tests.crash.table``."""

import sys

from tests.crash.table import main

if __name__ == "__main__":
    sys.exit(main())
