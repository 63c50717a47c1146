"""Which recordings there are, what is known of them, and how they are split."""
