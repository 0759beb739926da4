"""MIDI in: clock, notes and controls as the same calls that arrive over OSC, so that there is one path."""
