"""The last stage of a denoiser: its few-step sampler learns as a whole, against a judge that knows real drums."""
