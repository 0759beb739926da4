"""The codec: feature VAE, causal inverse-STFT decoder with an oscillator bank, and their training."""
