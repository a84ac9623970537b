"""`python -m pliant` is the command `pliant`."""

import sys

from pliant.scenes.cli import main

sys.exit(main())
