"""Boards that people own: which SoC they have, and how much memory they are sold with.

Memory in GB as it is printed on them. SoCs from the kernel's device tree bindings
(https://github.com/torvalds/linux/blob/master/Documentation/devicetree/bindings/arm/rockchip.yaml)
and Armbian's board files (https://github.com/armbian/build/tree/main/config/boards); memory of
Radxa's from https://docs.radxa.com, of others from Armbian's headers.
"""

from __future__ import annotations

from typing import NamedTuple

from rkfetch.registry.model import Platform


class Board(NamedTuple):
    """A board, by the name that is printed on it."""

    name: str
    platform: Platform
    memory_gb: tuple[int, ...] = ()
    """Empty where nobody says."""


BOARDS = (
    Board("Radxa ROCK 4D", Platform.RK3576, (2, 4, 8, 16)),
    Board("Radxa CM4", Platform.RK3576),
    Board("Radxa NX4", Platform.RK3576),
    Board("FriendlyElec NanoPi M5", Platform.RK3576, (4, 8, 16)),
    Board("FriendlyElec NanoPi R76S", Platform.RK3576, (2, 4, 16)),
    Board("ArmSoM Sige5", Platform.RK3576),
    Board("ArmSoM CM5", Platform.RK3576),
    Board("Banana Pi M5 Pro", Platform.RK3576),
    Board("100ASK DshanPi A1", Platform.RK3576),
    Board("Firefly ROC-RK3576-PC", Platform.RK3576),
    Board("Khadas Edge 2L", Platform.RK3576),
    Board("Luckfox Omni3576", Platform.RK3576),
    Board("Photonicat 2", Platform.RK3576, (4, 8, 16)),
    Board("Seeed reComputer RK3576 DevKit", Platform.RK3576, (8,)),
    Board("Radxa ROCK 5B", Platform.RK3588),
    Board("Radxa ROCK 5C", Platform.RK3588),
    Board("Orange Pi 5", Platform.RK3588),
    Board("Orange Pi 5 Plus", Platform.RK3588),
    Board("Orange Pi 5 Max", Platform.RK3588),
    Board("FriendlyElec NanoPC-T6", Platform.RK3588),
    Board("FriendlyElec NanoPi R6S", Platform.RK3588),
    Board("Khadas Edge 2", Platform.RK3588),
    Board("Turing RK1", Platform.RK3588),
    Board("Banana Pi M7", Platform.RK3588),
)
