"""`python -m scrubjay`: the same as `scrubjay`."""

import sys

from scrubjay.cli.main import main

sys.exit(main())
