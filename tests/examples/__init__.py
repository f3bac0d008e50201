"""The examples, against emulators of what the vendors document."""
