"""Event batches out of Redis: read, handed to the ledger, marked and acknowledged."""
