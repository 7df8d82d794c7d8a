"""A conversion on this machine: whether it can be, and the environment that it runs in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .machine import room
from .preflight import check
from .wheels import have_wheel

if TYPE_CHECKING:
    from rkfetch.registry.http import Http
    from rkfetch.registry.store import Store

    from .environment import Environment, Watch
    from .machine import Machine, Room
    from .plan import Plan
    from .preflight import Chosen, Wanted
    from .wheels import WheelFile


def preflight(
    plan: Plan, machine: Machine, store: Store, *, wanted: Wanted = "auto", command: str
) -> Chosen:
    """Choose where to convert on this machine; raises as `preflight.check`."""
    return check(plan, machine, _rooms(plan, machine, store), wanted=wanted, command=command)


def is_installed(plan: Plan, machine: Machine, home: Path, wanted: Wanted) -> bool:
    """Tell whether the toolkit of a plan is in the kind of environment that would be chosen."""
    from . import container, venv_environment

    engine = next((e for e in machine.engines if e.usable), None)
    if engine is not None and wanted != "venv":
        return container.is_built(engine, plan.toolkit.version)
    return venv_environment.is_made(home, plan.toolkit.version)


def environment_for(
    plan: Plan, chosen: Chosen, *, home: Path, wheel: WheelFile | None, http: Http, watch: Watch
) -> Environment:
    """Return the environment that was chosen, with the toolkit's wheel at hand.

    Below ``home`` wheels and virtual environments are kept; ``wheel`` is one that the user brought.

    Raises:
        NetworkError, OfflineError, IntegrityError: as `wheels.have_wheel`.
    """
    python = chosen.python.version if chosen.python is not None else chosen.image_python
    if wheel is None:
        listed = plan.toolkit.wheel(python)
        assert listed is not None  # the Python was chosen among those that it has wheels for
        wheel = have_wheel(listed, home / "convert" / "wheels", http=http, watch=watch)
    if chosen.engine is not None:
        from .container import ContainerEnvironment

        return ContainerEnvironment(
            home, engine=chosen.engine, wheel=wheel, toolkit=plan.toolkit, device=plan.device
        )
    from .venv_environment import VenvEnvironment

    assert chosen.python is not None  # one of the two was chosen
    return VenvEnvironment(
        home,
        wheel=wheel,
        python=chosen.python.path,
        toolkit=plan.toolkit,
        device=plan.device,
    )


def _rooms(plan: Plan, machine: Machine, store: Store) -> list[Room]:
    from huggingface_hub.constants import HF_HUB_CACHE

    needs = plan.needs
    has_engine = any(e.usable for e in machine.engines)
    return [
        room("the base model", Path(HF_HUB_CACHE), needs.download_bytes),
        room("the file, twice while it is written", store.root, needs.work_bytes),
        room("the toolkit", _images() if has_engine else store.root, needs.environment_bytes),
    ]


def _images() -> Path:
    """Return where container engines keep images by default: root's, or the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/containers")
    return Path("~/.local/share/containers").expanduser()
