"""`python -m fne`: the command `fne`."""

import sys

from fne._command import main

if __name__ == "__main__":
    sys.exit(main())
