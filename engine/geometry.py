"""The geometry that every part of Backline shares: rates, hops, channels and stems, written once.

The numbers are those of Stable Audio Open's autoencoder, so that it can take the codec's place.
"""

SAMPLE_RATE_HZ = 44_100
AUDIO_CHANNELS = 2

LATENT_CHANNELS = 64
LATENT_HOP_SAMPLES = 2_048
LATENT_RATE_HZ = SAMPLE_RATE_HZ / LATENT_HOP_SAMPLES
WINDOW_FRAMES = 1_024
WINDOW_SAMPLES = WINDOW_FRAMES * LATENT_HOP_SAMPLES

SPECTRUM_HOP_SAMPLES = 512
SPECTRUM_WINDOW_SAMPLES = 2_048
SPECTRUM_BINS = SPECTRUM_WINDOW_SAMPLES // 2 + 1
SPECTRA_PER_FRAME = LATENT_HOP_SAMPLES // SPECTRUM_HOP_SAMPLES

STEMS = ("drums", "bass", "other")
ACCOMPANIMENT_CHANNELS = len(STEMS) * LATENT_CHANNELS


def frames_covering(samples: int) -> int:
    """Return the number of latent frames that cover `samples` samples, the last one perhaps partly."""
    return -(-samples // LATENT_HOP_SAMPLES)
