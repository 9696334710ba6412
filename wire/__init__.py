"""What crosses a process boundary, and nothing else: pure values and their encodings, no I/O, no clock."""
