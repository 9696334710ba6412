"""Who asks: wrk as fast as it can, the open loop by a schedule, one connection now and then; and what they found."""
