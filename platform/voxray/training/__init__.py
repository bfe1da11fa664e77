"""Training: losses, batches, augmentation, one loop, and Ray Train around it."""
