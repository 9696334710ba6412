"""What SDKs talk to: decides from bundles and states in memory, takes events onto its disk."""
