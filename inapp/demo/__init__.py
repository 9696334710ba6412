"""The demo: a seeded org, and a host page in which its messages appear."""
