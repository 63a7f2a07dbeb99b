"""free-ports.py COUNT FACTS...: prints COUNT ports that are free on 127.0.0.1 and in no site's FACTS.

They lie below the range from which the kernel takes ports for outgoing connections, so none is taken that way between
being picked here and being bound by the daemon.
"""

import random
import re
import socket
import sys
from pathlib import Path


def taken(facts: list[str]) -> set[int]:
    text = "".join(Path(name).read_text() for name in facts if Path(name).exists())
    return {int(port) for port in re.findall(r"^\w+_port=(\d+)$", text, re.MULTILINE)}


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def main(count: str, *facts: str) -> None:
    candidates = sorted(set(range(20000, 32000)) - taken(list(facts)))
    random.shuffle(candidates)
    free = (port for port in candidates if is_free(port))
    print(*(next(free) for _ in range(int(count))))


if __name__ == "__main__":
    main(*sys.argv[1:])
