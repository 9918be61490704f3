"""What to make: bundles, overlays, images and their metadata."""
