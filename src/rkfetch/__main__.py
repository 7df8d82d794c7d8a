"""``python -m rkfetch``: the same as the ``rkfetch`` command."""

from rkfetch.cli.main import main

main()
