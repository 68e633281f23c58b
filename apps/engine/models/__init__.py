"""Models built from a spec: classes, arguments, devices, weights."""
