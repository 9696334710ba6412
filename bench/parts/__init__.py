"""What is measured: a module for each part that the command line knows, `measure(stage)` → its rows."""
