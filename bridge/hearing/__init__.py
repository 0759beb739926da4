"""What is sung, on the song's timeline: from packets or a sound card's input to audio that the engine can take."""
