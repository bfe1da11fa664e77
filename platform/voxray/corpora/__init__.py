"""Where audio and its texts come from, and how they are kept for training."""
