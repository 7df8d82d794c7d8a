"""Find and fetch the prebuilt RKLLM model that a Rockchip board's runtime will load."""

__version__ = "0.1.0"
