"""Pictures and what is known of them."""
