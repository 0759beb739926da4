"""Train the codec: `python -m training.codec --config configs/codec_cpu.toml [--stage sound] [key=value ...]`."""

import argparse
from pathlib import Path

from training.codec.config import CodecTrainingConfig
from training.codec.features_stage import train_features
from training.codec.partials_stage import train_partials
from training.codec.sound_stage import train_sound
from training.common.configs import load_config

STAGES = {"features": train_features, "partials": train_partials, "sound": train_sound}


def main() -> None:
    """Run the stages one after the other, or the one asked for; each continues from its last checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--stage", choices=tuple(STAGES))
    parser.add_argument("overrides", nargs="*", help="such as sound.minutes=30")
    arguments = parser.parse_args()
    config = load_config(arguments.config, CodecTrainingConfig, arguments.overrides)
    for name, train in STAGES.items():
        if arguments.stage in (None, name):
            train(config)


if __name__ == "__main__":
    main()
