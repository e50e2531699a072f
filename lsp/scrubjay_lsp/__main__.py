"""`python -m scrubjay_lsp`: the same as `scrubjay lsp`."""

import sys

from scrubjay_lsp import main

sys.exit(main())
