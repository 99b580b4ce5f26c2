"""What a process and all its children have used. The standard library only, for it runs in peers' environments too."""

import hashlib
import os
import socket
import struct
from pathlib import Path

ACKED = 120  # tcpi_bytes_acked in Linux's struct tcp_info


def cpu():
    """CPU seconds of this process and of those below it that live."""
    children, own = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:  # it has just ended
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            own[int(entry.name)] = int(fields[11]) + int(fields[12])
    total, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        total += own.get(pid, 0)
        waiting += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


def sent(dask_worker=None, dask_scheduler=None):
    """Bytes that went out by the TCP connections which this process has open, as the kernel counts them."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not os.readlink(entry).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
                    told = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    total += struct.unpack_from("=Q", told, ACKED)[0]
        except OSError:  # closed meanwhile
            continue
    return total


def wire(client):
    """The same of a whole cluster and of who uses it."""
    return sent() + client.run_on_scheduler(sent) + sum(client.run(sent).values())


def digest(rows):
    """How many, and what they are."""
    listed = list(rows)
    return [len(listed), hashlib.sha256(repr(listed).encode()).hexdigest()]
