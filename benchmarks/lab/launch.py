"""Run one command and write down what it cost: ``launch.py RESULT COMMAND…``.

A process's peak memory counts from before its exec, so it must be started by something small:
run this with ``python -I -S``. Peaks below its own 9 MB or so show as that.
"""

import os
import sys
import time


def main() -> int:
    """Run the command; return its exit code."""
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.execvp(sys.argv[2], sys.argv[2:])
        finally:
            os._exit(127)
    _, status, used = os.wait4(child, 0)
    wall = time.perf_counter() - begun
    code = os.waitstatus_to_exitcode(status)
    with open(sys.argv[1], "w", encoding="ascii") as result:  # noqa: PTH123 - pathlib is large
        result.write(f"{wall} {used.ru_utime + used.ru_stime} {used.ru_maxrss} {code}")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
