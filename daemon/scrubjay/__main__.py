"""`python -m scrubjay`: the same as `scrubjay`."""

import sys

from scrubjay.cli import main

sys.exit(main())
