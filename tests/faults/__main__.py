"""``python -m tests.faults``: see ``table``."""

import sys

from tests.faults.table import main

if __name__ == "__main__":
    sys.exit(main())
