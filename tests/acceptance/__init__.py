"""The promises to users, kept by real processes started as users start them."""
