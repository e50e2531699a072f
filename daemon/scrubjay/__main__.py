"""`python -m scrubjay`: the same as the command `scrubjay`, which begins here as well."""

import sys

from scrubjay.isolation import leave_working_folder

# Before any import that could be taken from the working folder.
leave_working_folder()

from scrubjay.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
