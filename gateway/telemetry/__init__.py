"""How the processes speak to those who run them."""
