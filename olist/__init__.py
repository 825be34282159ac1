"""The shared language of the platform. It imports nothing of the folders beside it."""
