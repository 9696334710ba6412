"""Goals of messages, and who has reached them."""
