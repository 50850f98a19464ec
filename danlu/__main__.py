"""`python -m danlu`: the same as the command `danlu`."""

import sys

from danlu.cli.main import main

sys.exit(main())
