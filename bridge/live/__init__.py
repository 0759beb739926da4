"""Playing live: the vocal and the host's transport in, accompaniment out of the sound card, on the host's grid."""
