"""Replies of the Thrift gateway as they come over the wire: recorded once, decoded from memory by all sides.

A file holds one after another: the length (four bytes, the first one greatest), and the reply to `scannerGetList`.
"""

import functools
import socket
import struct

BATCH = 1000


def record(host, port, table):
    """All rows of the table."""
    from workbench.kit import thrift

    found = bytearray()
    with socket.create_connection((host, port)) as sock:
        attributes = (thrift.MAP, (thrift.STRING, thrift.STRING, []))
        scan = {1: (thrift.STRING, table.encode()), 2: (thrift.STRUCT, {5: (thrift.I32, BATCH)}), 3: attributes}
        scanner = thrift.reply(_asked(sock, "scannerOpenWithScan", scan), "scannerOpenWithScan", 1).body[0]
        while True:
            reply = _asked(sock, "scannerGetList", {1: (thrift.I32, scanner), 2: (thrift.I32, BATCH)})
            if not thrift.reply(reply, "scannerGetList", 1).body[0]:
                return bytes(found)
            found += struct.pack(">I", len(reply)) + reply


def _asked(sock, name, words):
    from workbench.kit import thrift

    sock.sendall(thrift.call(name, 1, words))
    data = bytearray()
    while True:
        data += sock.recv(1 << 20)
        try:
            return bytes(data[: thrift.reply(data, name, 1).size])
        except thrift.Truncated:
            continue


@functools.cache
def replies(path):
    """Of a file, read before the first round."""
    found = []
    with open(path, "rb") as file:
        while head := file.read(4):
            found.append(bytearray(file.read(struct.unpack(">I", head)[0])))
    return found
