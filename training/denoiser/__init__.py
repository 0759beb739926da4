"""The denoiser: a 1-D U-Net that turns noise into the latents of drums, bass and harmony, listening to a vocal."""
