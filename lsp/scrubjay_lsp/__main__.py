"""`python -m scrubjay_lsp`: the same as `scrubjay lsp`."""

import sys

# Before any import that could be taken from the working folder, `scrubjay` itself among them; see `scrubjay.isolation`.
if not sys.flags.safe_path:
    del sys.path[0]

from scrubjay.isolation import leave_working_folder

leave_working_folder()

from scrubjay_lsp.program import main  # noqa: E402

sys.exit(main())
