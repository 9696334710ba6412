"""What /metrics tells of the compiler, in prometheus-client's default registry."""

from prometheus_client import Counter, Gauge, Histogram

COMPILES = Counter("inapp_compiler_compiles", "Orgs compiled, by what came of it", ["outcome"])
"""`outcome`: published, stale (a newer manifest stands), failed, lease_lost."""

COMPILE_SECONDS = Histogram("inapp_compiler_compile_seconds", "Time in which a snapshot becomes checked bundles")
LAG_SECONDS = Histogram("inapp_compiler_lag_seconds", "Time from a change to the manifest that has it")
PROBLEMS = Gauge("inapp_compiler_problems", "Messages that are left out because they cannot be compiled")
PREPARING = Gauge("inapp_compiler_preparing", "Messages that wait for events of the past to be gathered")
DAMAGED = Counter("inapp_compiler_damaged", "Orgs whose bytes in Redis were found bad, to be published again")
OUTBOX_AGE_SECONDS = Gauge("inapp_compiler_outbox_age_seconds", "Age of the oldest change that is not published")
LEASE_HELD = Gauge("inapp_compiler_lease_held", "1 while this compiler is the one that publishes")
