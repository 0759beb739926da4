"""What the codec's and the denoiser's training share: configs, checkpoints, moving averages, schedules and progress."""
