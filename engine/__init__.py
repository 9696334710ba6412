"""The rule engine. Pure: explicit arguments in, a decision out; no settings, no clock, no logger, no I/O."""
