"""User states: out of Postgres, into Redis, all of them anew when Redis lost them."""
