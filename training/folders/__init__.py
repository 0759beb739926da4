"""Other people's multitracks as song folders: layouts, beats, harmony."""
