"""Become a server that cannot outlive its parent. Run as a script, without site-packages, to start in milliseconds.

    python -I -S launcher.py PARENT SIGNAL UID GUARD -- program argument ...

PARENT is the pid that must live, SIGNAL the number sent when it dies, UID whom to run as (`-`: as now), GUARD how:
`prctl`  Linux: the kernel sends the signal. It is set after the change of user, which would clear it. It is sent when
         the *thread* that started this process ends, so a parent starts its servers from its main thread.
`<fd>`   elsewhere: a forked guard reads a pipe whose other end only the parent holds; its end is the parent's end.
"""

import ctypes
import os
import select
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
GUARD_LOOKS_EVERY_S = 1.0


def main(arguments: Sequence[str]) -> None:
    """Take the arguments above and become the program."""
    parent, signal_number, uid, guard, _, *program = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    if guard == "prctl":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    else:
        _fork_guard(int(guard), int(signal_number))
    if os.getppid() != int(parent):
        sys.exit(f"the parent {parent} ended before its server started")
    os.execv(program[0], program)


def _fork_guard(pipe: int, signal_number: int) -> None:
    server = os.getpid()
    if os.fork() != 0:
        os.close(pipe)
        return
    os.setsid()
    while os.getppid() == server:
        if select.select([pipe], [], [], GUARD_LOOKS_EVERY_S)[0]:
            os.kill(server, signal_number)
            break
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
