"""The host's transport: where the song is now, how it moves, and the tempo map that it shows while it plays."""
