"""Make an ``.rkllm`` file where nobody has published one, with the vendor's toolkit.

`plan` decides what would be built and with which toolkit (pure); `preflight` whether this machine
can; an `environment` (container or virtual environment) runs `driver` beside the vendor's code,
which speaks in JSON lines (`events`); `run` puts the pieces together.
"""
