"""A process that decodes photos for a training. It imports no torch, and ends when the other end of its pipe does."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from autoaug.photos._encoded import Encoded
from autoaug.photos._pixels import Frame, kept_pixels, reason_of


def main() -> None:
    """Answer each list of indices with the bytes of these photos, one after the other, or with what is wrong."""
    pipe = Connection(int(sys.argv[1]))
    with suppress(EOFError, OSError, KeyboardInterrupt):
        encoded, frame = pipe.recv()
        while True:
            problem, pixels = decode(encoded, frame, pipe.recv())
            pipe.send(problem)
            pipe.send_bytes(pixels)


def decode(encoded: Encoded, frame: Frame, indices: Sequence[int]) -> tuple[str, bytes]:
    """Return what is wrong with a photo, or nothing, and the bytes of all of them."""
    parts = []
    for index in indices:
        try:
            with encoded.open(index) as image:
                parts.append(kept_pixels(image, frame)[0].tobytes())
        except Exception as error:  # Pillow's decoders, and those of somebody's dataset, raise many kinds
            return f"{encoded.name(index)!r} cannot be read any more ({reason_of(error)})", b""
    return "", b"".join(parts)
