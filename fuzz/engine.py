"""Run one target under atheris, in a process of its own.

``python -m fuzz.engine MODULE NAME FLAG...``: the flags and folders are those of libFuzzer. No
other module imports this one: the modules of purekernel are instrumented while it imports them.
"""

from __future__ import annotations

import importlib
import signal
import sys
import time
from random import Random

import atheris


def main(module: str, name: str, flags: list[str]) -> None:
    """Run a target until a finding, or until the time in the flags is over."""
    with atheris.instrument_imports(include=["purekernel"]):
        importlib.import_module(module)
        targets = importlib.import_module("fuzz.target").TARGETS
    target = targets[name]
    arguments = [sys.argv[0], *flags]
    count = 0
    start = time.monotonic()

    def run(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            target.run(data)
        except Exception:
            # libFuzzer's timer must not end the process while it writes the input.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            print(f"found by input {count} after {time.monotonic() - start:.2f} s", flush=True)
            raise

    if target.mutate is None:
        atheris.Setup(arguments, run)
    else:
        mutate = target.mutate

        def mutated(data: bytes, max_bytes: int, seed: int) -> bytes:
            def change(piece: bytes) -> bytes:
                return bytes(atheris.Mutate(piece, len(piece) + 64))

            changed: bytes = mutate(data, change, Random(seed))  # noqa: S311  # not a secret
            return changed[:max_bytes]

        atheris.Setup(arguments, run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
