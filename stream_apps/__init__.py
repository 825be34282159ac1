"""Apps that read topics and write topics. A file beside this one is an app; folders are what runs and deploys them."""
