"""What ships: presets, pedalboard chains, the factory bundle."""
