"""Torch: corpus, models, losses, training loops. Imports engine for everything that inference must agree on."""
