"""The rim that every process has: settings, JSON logs, error envelope, limits, health, supervision."""
