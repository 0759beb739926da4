"""The network that reads chords off a vocal: its songs, its layers and its training."""
