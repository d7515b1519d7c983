# SPDX-License-Identifier: GPL-2.0
"""Stands in for QEMU: plays a transcript over the ports that the lab gives it.

The transcript is the last argument, a JSON list of steps:
    ["console", TEXT]      the kernel says something
    ["record", FACT]       the guest's init says something, with the nonce before it
    ["say", PORT, TEXT]    something comes over another port, without a nonce
    ["flood", PORT, N]      N bytes come over another port
    ["close", PORT...]     the guest closes these outputs
    ["copy", PORT]         what comes by stdin goes to this port, until its end
    ["type"]                what is typed at the terminal comes back in capitals, up to a Q
    ["done"]               waits for the host's answer
    ["sleep", SECONDS]
    ["exit", CODE]
"""

import json
import re
import socket
import sys
import time
from pathlib import Path


def main(argv: list[str]) -> int:
    """Plays the transcript."""
    ends = {
        match[1].upper(): socket.socket(fileno=int(match[2]))
        for argument in argv
        if (match := re.fullmatch(r"socket,id=(\w+),fd=(\d+)", argument))
    }
    archive = Path(argv[argv.index("-initrd") + 1])
    nonce = re.search(rb"NONCE=(\w+)\n", archive.read_bytes())
    assert nonce
    mark = nonce[1] + b"\n"
    for step, *words in json.loads(argv[-1]):
        match step:
            case "console":
                ends["CONSOLE"].sendall(words[0].encode())
            case "record":
                ends["RECORD"].sendall(nonce[1] + b" " + words[0].encode() + b"\n")
            case "say":
                ends[words[0]].sendall(words[1].encode())
            case "flood":
                ends[words[0]].sendall(b"x" * words[1])
            case "close":
                for port in words:
                    ends[port].sendall(mark)
            case "copy":
                while data := ends["STDIN"].recv(1 << 16):
                    ends[words[0]].sendall(data)
            case "type":
                while b"Q" not in (keys := ends["TERMINAL"].recv(1).upper()):
                    ends["TERMINAL"].sendall(keys)
            case "done":
                assert ends["RECORD"].recv(100) == b"done\n"
            case "sleep":
                time.sleep(words[0])
            case "exit":
                return int(words[0])
            case _:
                raise ValueError(step)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
