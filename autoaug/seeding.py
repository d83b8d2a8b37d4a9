"""Seeds as a pure function of what they are for, so that a resumed study repeats nothing and forgets nothing."""

import hashlib


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2^32) from parts whose text names a purpose, such as `(study seed, "trial", 7)`.

    It is the same on every machine and in every process, unlike `hash()`.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
