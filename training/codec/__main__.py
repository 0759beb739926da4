"""Train the codec: `python -m training.codec --config configs/codec_cpu.toml [--stage sound] [key=value ...]`."""

import argparse
from pathlib import Path

from training.codec.config import CodecTrainingConfig
from training.codec.features_stage import train_features
from training.codec.sound_stage import train_sound
from training.common.configs import load_config


def main() -> None:
    """Run both stages one after the other, or the one asked for; each continues from its last checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--stage", choices=("features", "sound"))
    parser.add_argument("overrides", nargs="*", help="such as sound.minutes=30")
    arguments = parser.parse_args()
    config = load_config(arguments.config, CodecTrainingConfig, arguments.overrides)
    if arguments.stage != "sound":
        train_features(config)
    if arguments.stage != "features":
        train_sound(config)


if __name__ == "__main__":
    main()
