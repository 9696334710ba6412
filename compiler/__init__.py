"""An org's active messages → bundles in Redis, on change and at every schedule boundary."""
