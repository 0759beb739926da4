"""`backline send`: plays a DAW's part over OSC, for trying things out, demonstrations and benchmarks."""
