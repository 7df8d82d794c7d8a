"""Small synthetic ``.rknn`` files, put together as public readers of the format describe them."""

from __future__ import annotations

import json
import random
from typing import Any

_HEAD = 64


def rknn_bytes(
    platform: str | list[str] | None = "rk3576",
    *,
    body_bytes: int = 4096,
    seed: int = 0,
    container: int = 6,
    notes: Any = None,
) -> bytes:
    """Return an RKNN model for one chip, which names it in its JSON text."""
    body = random.Random(seed).randbytes(body_bytes)
    chips = [platform] if isinstance(platform, str) else platform
    said = {"name": "rknn model", "version": "2.3.2", "target_platform": chips}
    text = json.dumps(said if notes is None else notes).encode()
    head = b"RKNN" + bytes(4) + container.to_bytes(8, "little") + len(body).to_bytes(8, "little")
    filler = bytes(_HEAD - len(head)) if container & 0xFF > 1 and body else b""
    return head + filler + body + len(text).to_bytes(8, "little") + text
