"""wan-tui: run Wan 2.2 video models on NVIDIA GPUs, and see what they do."""

__version__ = "0.1.0"
