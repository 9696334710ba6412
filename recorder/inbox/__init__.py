"""What admin asks for: rows of `inbox`, read, applied in one transaction, projected."""
