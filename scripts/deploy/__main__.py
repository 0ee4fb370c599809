"""Entry point of the MONAI Application Package."""

import os
import resource
import sys

#: Bytes of stack that Holoscan wants; a limit takes effect in the program that starts next.
STACK = 32768 * 1024


def enlarge_stack() -> None:
    """Start this program again with a larger stack, if it has less than Holoscan wants and may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK if hard == resource.RLIM_INFINITY else min(STACK, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    enlarge_stack()
    from scripts.deploy.application import main  # after the start that stays

    sys.exit(main())
