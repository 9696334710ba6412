"""What it is measured on: an org with its audiences, messages and customers, and what SDKs send about them."""
