"""Sound out and in: the sound card, a null device that keeps time, and a file of what was heard."""
