"""The world outside: command line, files, OSC, MIDI, sound card."""
