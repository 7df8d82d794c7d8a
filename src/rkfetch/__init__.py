"""Find and fetch the prebuilt RKLLM model that a Rockchip board's runtime will load."""
