"""What must hold for whatever is parsed or decided, searched by Hypothesis."""
