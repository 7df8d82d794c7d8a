"""What is done with a file once it is made: copied to a board, published on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import OfflineError, RkfetchError, UsageError

from .boards import over_ssh
from .output import safe, say, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.upload import Uploaded
    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.deliver import Delivered
    from rkfetch.registry.ssh import RemoteHost, Ssh

    from .convert_progress import Watching


@dataclass(frozen=True, slots=True, kw_only=True)
class Afterwards:
    """What a user wants done with the file."""

    board: RemoteHost | None = None
    folder: str = ""
    """On the board."""
    upload: str | None = None
    """``OWNER/NAME``, or ``OWNER`` for the usual name."""
    private: bool = False

    @classmethod
    def parse(
        cls, *, deliver: str | None, upload: str | None, private: bool, offline: bool
    ) -> Afterwards:
        """Read the options, before anything is done.

        Raises:
            UsageError: one cannot be read, or does not go with another one.
            OfflineError: it is to be published without a network.
        """
        if private and upload is None:
            raise UsageError("--private says how to publish", hint="it goes with --upload")
        if upload is not None:
            if upload.count("/") > 1 or not all(upload.split("/")):
                raise UsageError(
                    f"'{safe(upload, limit=80)}' names no repository",
                    hint="examples: --upload OWNER/NAME, or --upload OWNER for the usual name",
                )
            if offline:
                raise OfflineError("offline, nothing can be published")
        board, folder = over_ssh(deliver) if deliver is not None else (None, "")
        return cls(board=board, folder=folder, upload=upload, private=private)

    def repository(self, plan: Mapping[str, Any]) -> str | None:
        """Return the repository that a planned file is to be published in."""
        from rkfetch.registry.convert.convention import repository_name
        from rkfetch.registry.model import Platform, Quant
        from rkfetch.registry.versions import Version

        if self.upload is None or "/" in self.upload:
            return self.upload
        name = repository_name(
            plan["base"]["name"],
            Platform(plan["platform"]),
            Quant.parse(plan["quant"]),
            Version(plan["toolkit"]),
        )
        return f"{self.upload}/{name}"

    def lines(self, plan: Mapping[str, Any]) -> Iterator[str]:
        """Say what will be done, and what to think of before publishing."""
        if self.board is not None:
            yield from wrapped(f"Then it is copied to {self.board.name}:{safe(self.folder)}.")
        repo = self.repository(plan)
        if repo is None:
            return
        who = "for you alone" if self.private else "for everybody"
        yield from wrapped(f"Then it is published as {safe(repo)} on the Hub, {who}.")
        if self.private:
            return
        from rkfetch.catalog.upload import reservations

        base = plan["base"]
        name = base["model"] or base["name"]
        for note in reservations(name, licence=base["licence"], gated=bool(base["gated"])):
            yield from wrapped(safe(note), lead="  note: ")

    def open(self, stack: ExitStack, plan: Mapping[str, Any]) -> Ssh | None:
        """Make sure that it can be done, before half an hour of work; connect to the board.

        Raises:
            AuthenticationError, NetworkError, UsageError: it cannot.
        """
        repo = self.repository(plan)
        if repo is not None:
            from rkfetch.catalog.upload import require_access

            require_access(repo)
        if self.board is None:
            return None
        from rkfetch.registry.ssh import Ssh

        return stack.enter_context(Ssh(self.board))

    def carry_out(
        self,
        made: Converted,
        plan: Mapping[str, Any],
        *,
        board: Ssh | None,
        catalog: Catalog,
        progress: Watching,
    ) -> Done:
        """Copy and publish it.

        Raises:
            RkfetchError: as `deliver` and `upload`; the file is here, which the error says.
        """
        try:
            return self._carry_out(made, plan, board=board, catalog=catalog, progress=progress)
        except RkfetchError as error:
            error.cause = (*error.cause, f"the file is here: {made.installed.path}")
            raise
        finally:
            progress.close()

    def _carry_out(
        self,
        made: Converted,
        plan: Mapping[str, Any],
        *,
        board: Ssh | None,
        catalog: Catalog,
        progress: Watching,
    ) -> Done:
        delivered = uploaded = None
        if board is not None:
            from rkfetch.registry.deliver import deliver

            progress.step(f"copying it to {board.host.name}:{self.folder}")
            delivered = deliver(board, made.installed, self.folder, progress)
        repo = self.repository(plan)
        if repo is not None:
            from rkfetch.catalog.upload import Made, upload

            progress.step(f"publishing it as {repo}")
            uploaded = upload(
                catalog,
                made.installed,
                made.facts,
                Made.of(made),
                repo,
                private=self.private,
                progress=progress,
            )
        return Done(board=self.board, delivered=delivered, uploaded=uploaded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done with a file."""

    board: RemoteHost | None = None
    delivered: Delivered | None = None
    uploaded: Uploaded | None = None

    def tell(self) -> None:
        """Say it."""
        if self.delivered is not None and self.board is not None:
            was = "was there already, as" if self.delivered.action == "present" else "is there as"
            say(f"on {self.board.name} it {was} {safe(self.delivered.path)}")
        if self.uploaded is not None:
            say(f"published: {safe(self.uploaded.url)}")
            say(f"  everybody gets it with: rkfetch {safe(self.uploaded.reference)}")

    def as_json(self) -> dict[str, Any]:
        """Return what was done; keys of what was not asked are missing."""
        values: dict[str, Any] = {}
        if self.delivered is not None and self.board is not None:
            values["delivered"] = {
                "host": self.board.address,
                "path": self.delivered.path,
                "action": self.delivered.action,
            }
        if self.uploaded is not None:
            values["uploaded"] = {
                "repo": self.uploaded.repo,
                "path": self.uploaded.path,
                "revision": self.uploaded.commit,
                "url": self.uploaded.url,
                "reference": self.uploaded.reference,
                "private": self.uploaded.private,
            }
        return values
