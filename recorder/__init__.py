"""Events → Postgres exactly once; Postgres → the user states that edges evaluate against."""
