"""`python -m cfens_stack.command_line`, where the script `cfens-stack` is not on the path."""

import sys

from cfens_stack.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
