"""``python -m uad_bench`` is ``uad-bench``."""

import sys

from uad_bench.cli import main

if __name__ == "__main__":  # a worker process imports this module again
    sys.exit(main())
