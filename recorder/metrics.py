"""What the recorder counts, in prometheus-client's default registry."""

from prometheus_client import Counter, Gauge, Histogram

STORED = Counter("inapp_recorder_events_stored", "Events stored for the first time")
DUPLICATES = Counter("inapp_recorder_events_duplicate", "Events that were stored already")
LOST = Counter("inapp_recorder_events_lost", "Accepted events declared lost", ["reason"])
IMPRESSIONS = Counter("inapp_recorder_impressions", "Impressions stored")
CLAIMS = Counter("inapp_recorder_claims", "Anonymous ids claimed by a user")
TRAITS_DROPPED = Counter("inapp_recorder_traits_dropped", "Writes of traits that a customer had no room for")
TRANSACTION_SECONDS = Histogram("inapp_recorder_transaction_seconds", "From BEGIN to COMMIT", ["kind"])
RETRIES = Counter("inapp_recorder_transaction_retries", "Transactions begun anew", ["reason"])
LAG_MS = Gauge("inapp_recorder_lag_ms", "Age of the oldest event of the last batch when it was stored")
PROJECTED = Counter("inapp_recorder_user_states_projected", "User states sent to Redis")
MOVED = Counter("inapp_recorder_user_states_moved", "User states that were newer than what Redis held")
INBOX_DEPTH = Gauge("inapp_recorder_inbox_depth", "Rows of the inbox not yet applied, as of the last look")
REBUILDS = Counter("inapp_recorder_rebuilds", "Rebuilds of an org's user states", ["result"])
REBUILD_LEFT = Gauge("inapp_recorder_rebuild_orgs_left", "Orgs whose user states are not all in Redis")
FEATURES_UNFINISHED = Gauge("inapp_recorder_features_unfinished_orgs", "Orgs with features to gather or to remove")
GATHERED = Counter("inapp_recorder_customers_gathered", "Customers whose past events were gathered for new features")
