"""The mask that RKLLM lays over a GGUF container's magic and strings."""

from __future__ import annotations

_MASK = bytes.fromhex(
    "9da9e670cce76f6662774b69b88b45a1a6fb80a77a92d6f3e80044f8da42e34e"
    "71ff7dcd82069a6495838fa465eadead6d1cf661be8502fc496cf554b43b5dc3"
    "32071db1881910750b76373fb54c91c80a72d21ebf99ecae21af2da809d41fb0"
    "8d3d9f2815d7e1c76a6bd9bc1bc41217a54d13358eee258184205c98367fcf73"
    "5147118987fe7b182f6efdd193cb03f122f0f23c5958c1904aed8660b2232e56"
    "a314bb5bd89b16ba745fdff47e30c9ac9401e968509e318cfa97b6550fa0e2a2"
    "b35ee057ce29d0050d7c3a2cca34e40ceb04d55239c04633789626db38272b63"
    "f9efd3b924e59c48434f8a0ebdf75a67aa7941c2ab533eb72adcc51a0840ddc6"
)


def mask(data: bytes) -> bytes:
    """Lay the mask over one string, or take it off: it is its own inverse.

    The mask starts again at its first byte for each string. It was published by
    https://github.com/lhxll07/rknn-llm-gui and agrees with files of toolkit 1.0.0 and 1.0.1.
    """
    size = len(data)
    stream = _MASK[:size] if size <= 256 else (_MASK * (size // 256 + 1))[:size]
    # One XOR of two big integers is some 50 times faster than a loop over bytes.
    value = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return value.to_bytes(size, "little")
