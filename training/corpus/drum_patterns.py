"""Drum patterns by style and metre, one bar a pattern.

A pattern maps a voice to a line of marks, one a step: `X` accent, `x` normal, `o` soft, `g` ghost, `.` nothing.
A line's length divides the bar: 16 for 4/4 in sixteenths, 12 for 4/4 in triplets and
for 3/4 and 6/8 in sixteenths, 9 for 3/4 in triplets.
"""

KEYS = {
    "kick": 36,
    "snare": 38,
    "rim": 37,
    "clap": 39,
    "hat": 42,
    "pedal": 44,
    "open": 46,
    "ride": 51,
    "bell": 53,
    "crash": 49,
    "crash2": 57,
    "high_tom": 50,
    "mid_tom": 47,
    "low_tom": 45,
    "floor_tom": 43,
    "tambourine": 54,
    "cowbell": 56,
    "shaker": 70,
    "cabasa": 69,
    "bongo_high": 60,
    "bongo_low": 61,
    "conga_mute": 62,
    "conga": 63,
    "conga_low": 64,
    "claves": 75,
    "brush_tap": 38,
    "brush_swirl": 40,
    "triangle": 81,
}
VELOCITIES = {"X": 112, "x": 92, "o": 68, "g": 38}

Pattern = dict[str, str]

CALM: dict[str, dict[str, tuple[Pattern, ...]]] = {
    "ballad": {
        "4/4": (
            {"rim": "........x.......", "hat": "o...o...o...o...", "kick": "x..............."},
            {"hat": "o.o.o.o.o.o.o.o.", "kick": "x.........o.....", "rim": "........x......."},
            {"shaker": "o.g.o.g.o.g.o.g.", "kick": "x..............."},
        ),
        "6/8": ({"hat": "o.o.o.o.o.o.", "kick": "x...........", "rim": "......x....."},),
    },
    "pop": {
        "4/4": (
            {"hat": "x.o.x.o.x.o.x.o.", "kick": "x.......x.......", "rim": "....x.......x..."},
            {"kick": "x.......x.x.....", "clap": "....x.......x...", "shaker": "ogogogogogogogog"},
        )
    },
    "rock": {
        "4/4": (
            {"hat": "x.x.x.x.x.x.x.x.", "kick": "X.......X.......", "snare": "....x.......x..."},
            {"floor_tom": "x.x.x.x.x.x.x.x.", "kick": "X...X...X...X..."},
        ),
        "6/8": ({"hat": "x.x.x.x.x.x.", "kick": "X...........", "snare": "......X....."},),
    },
    "funk": {"4/4": ({"hat": "xoxoxoxoxoxoxoxo", "kick": "X.....x...x.....", "rim": "....x.......x..."},)},
    "electronic": {
        "4/4": (
            {"kick": "X...X...X...X...", "hat": "..o...o...o...o."},
            {"shaker": "ogogogogogogogog", "clap": "....x.......x..."},
            {"kick": "X...X...X...X...", "shaker": "ogxgogxgogxgogxg"},
        )
    },
    "acoustic": {
        "4/4": (
            {"shaker": "o.g.x.g.o.g.x.g."},
            {"bongo_low": "x.....x...x.....", "bongo_high": "....x.......x.o."},
            {"brush_tap": "....o.......o...", "shaker": "ogogogogogogogog"},
        ),
        "3/4": ({"shaker": "x.o.o.o.o.o.", "bongo_low": "x..........."},),
        "6/8": ({"shaker": "x.o.o.x.o.o.", "bongo_low": "x...........", "bongo_high": "......o....."},),
    },
    "hip-hop": {
        "4/4": (
            {"hat": "x.o.x.o.x.o.x.o.", "kick": "X.........x.....", "rim": "....x.......x..."},
            {"hat": "x.oox.o.x.o.x.oo", "clap": "........X......."},
        )
    },
    "jazz-swing": {
        "4/4": (
            {"ride": "x..x.ox..x.o", "pedal": "...x.....x..", "kick": "g..g..g..g.."},
            {"brush_swirl": "o..o..o..o..", "brush_tap": "...x.....x.o", "pedal": "...o.....o.."},
        ),
        "3/4": ({"ride": "x..x.ox..", "pedal": "...o..o.."},),
    },
    "bossa-nova": {
        "4/4": (
            {"hat": "o.o.o.o.o.o.o.o.", "rim": "x..x..x...x..x..", "kick": "o.....o.o.....o."},
            {"shaker": "xgogxgogxgogxgog", "rim": "..x...x...x..x.."},
        )
    },
    "waltz": {
        "3/4": (
            {"kick": "x...........", "brush_tap": "....o...o..."},
            {"triangle": "o...........", "brush_tap": "....o...o..."},
            {"kick": "x...........", "hat": "....o...o..."},
        ),
        "6/8": ({"kick": "x...........", "brush_tap": "....o.....o."}, {"kick": "o.....o.....", "hat": "..o.o...o.o."}),
    },
}

FULL: dict[str, dict[str, tuple[Pattern, ...]]] = {
    "ballad": {
        "4/4": (
            {"hat": "x.o.x.o.x.o.x.o.", "kick": "X.....x...x.....", "snare": "....x.......x..."},
            {"ride": "x.o.x.o.x.o.x.o.", "kick": "X.........x.....", "snare": "........X......."},
            {"hat": "x.o.x.o.x.o.x.o.", "kick": "X......x..x.....", "snare": "....x.......x..g"},
        ),
        "6/8": (
            {"hat": "x.o.o.x.o.o.", "kick": "X.......x...", "snare": "......X....."},
            {"ride": "x.o.o.x.o.o.", "kick": "X.........x.", "snare": "......X....."},
        ),
    },
    "pop": {
        "4/4": (
            {"hat": "x.o.x.o.x.o.x.o.", "kick": "X.......X.x.....", "snare": "....X.......X..."},
            {
                "hat": "x.x.x.x.x.x.x.x.",
                "kick": "X.....x...x.....",
                "snare": "....X.......X...",
                "tambourine": "....o.......o...",
            },
            {
                "open": "..x...x...x...x.",
                "kick": "X...X...X...X...",
                "snare": "....X.......X...",
                "clap": "....x.......x...",
            },
            {"hat": "xoxoxoxoxoxoxoxo", "kick": "X..x..x...x.....", "snare": "....X.......X..g"},
        )
    },
    "rock": {
        "4/4": (
            {"hat": "X.x.X.x.X.x.X.x.", "kick": "X.......X.X.....", "snare": "....X.......X..."},
            {"ride": "X.x.X.x.X.x.X.x.", "kick": "X.x...x.X.x.....", "snare": "....X.......X..."},
            {"open": "X...X...X...X...", "kick": "X.....X.X.X.....", "snare": "....X.......X..."},
            {"crash2": "X...x...X...x...", "kick": "X..X..X...X...x.", "snare": "....X.......X..."},
        ),
        "6/8": (
            {"ride": "X.x.x.X.x.x.", "kick": "X.....x.x.x.", "snare": "......X....."},
            {"hat": "X.x.x.X.x.x.", "kick": "X...x.....x.", "snare": "......X....."},
        ),
    },
    "funk": {
        "4/4": (
            {"hat": "XoxoXoxoXoxoXoxo", "kick": "X.x...x..xx.....", "snare": "....X..g.g..X..g"},
            {
                "hat": "XoxoXox.XoxoXox.",
                "open": ".......x.......x",
                "kick": "X..x......x..x..",
                "snare": "....X.g..g.gX...",
            },
            {"hat": "X.xoX.xoX.xoX.xo", "kick": "X.....xx..x...x.", "snare": ".g..X..g.g..X.gg"},
            {
                "ride": "X.x.X.x.X.x.X.x.",
                "kick": "X.x....x..x.....",
                "snare": "....X..g.gg.X..g",
                "cowbell": "o...o...o...o...",
            },
        )
    },
    "electronic": {
        "4/4": (
            {
                "kick": "X...X...X...X...",
                "open": "..X...X...X...X.",
                "clap": "....X.......X...",
                "hat": "oo.ooo.ooo.ooo.o",
            },
            {
                "kick": "X...X...X...X...",
                "hat": "xoXoxoXoxoXoxoXo",
                "snare": "....X.......X...",
                "clap": "....X.......X...",
            },
            {
                "kick": "X...X...X...X..x",
                "open": "..X...X...X...X.",
                "clap": "....X.......X..o",
                "shaker": "ogogogogogogogog",
            },
            {"kick": "X..X..X...X.X...", "hat": "x.xxx.xxx.xxx.xx", "snare": "....X.......X..."},
        )
    },
    "acoustic": {
        "4/4": (
            {"bongo_low": "X.....x...x.....", "bongo_high": "....x..o....x.oo", "shaker": "xgogxgogxgogxgog"},
            {"kick": "x.....x.x.......", "brush_tap": "....x.......x..o", "tambourine": "....o.......o..."},
            {"kick": "x.......x.x.....", "rim": "....x.......x...", "shaker": "x.o.x.o.x.o.x.o."},
        ),
        "3/4": ({"kick": "x...........", "brush_tap": "....x...x...", "shaker": "x.o.x.o.x.o."},),
        "6/8": (
            {"kick": "x.......x...", "rim": "......x.....", "shaker": "x.o.o.x.o.o."},
            {"bongo_low": "x.....o.x...", "bongo_high": "..o.o.x...oo"},
        ),
    },
    "hip-hop": {
        "4/4": (
            {"hat": "x.o.x.o.x.o.x.oo", "kick": "X.....x...x.....", "snare": "....X.......X..."},
            {
                "hat": "x.x.x.xxx.x.x.x.",
                "kick": "X..x......x..x..",
                "clap": "........X.......",
                "snare": "........X.......",
            },
            {"hat": "xoxoxoxxxoxoxxxx", "kick": "X......x..x.....", "clap": "....X.......X..."},
            {
                "hat": "x.o.x.o.x.o.x.o.",
                "open": "..............x.",
                "kick": "X.x....x.xx.....",
                "snare": "....X..g.g..X...",
            },
        )
    },
    "jazz-swing": {
        "4/4": (
            {"ride": "X..x.xX..x.x", "pedal": "...X.....X..", "kick": "o..o..o..o..", "snare": ".....g.....g"},
            {"ride": "X..x.xX..x.x", "pedal": "...X.....X..", "kick": "o.....o....o", "snare": "..g..o..g..."},
            {"ride": "X..x.xX..x.x", "pedal": "...X.....X..", "snare": "...o.g...o..", "kick": "o....o..o..."},
        ),
        "3/4": ({"ride": "X..x.xx..", "pedal": "...x..x..", "kick": "x........", "snare": ".....g..o"},),
    },
    "bossa-nova": {
        "4/4": (
            {"hat": "x.o.x.o.x.o.x.o.", "rim": "x..x..x...x..x..", "kick": "x.....x.x.....x."},
            {
                "ride": "x.o.x.o.x.o.x.o.",
                "rim": "x..x..x...x.x...",
                "kick": "x.....x.x.....x.",
                "pedal": "....x.......x...",
            },
            {
                "shaker": "xgogxgogxgogxgog",
                "claves": "x..x..x...x..x..",
                "kick": "x.....x.x.....x.",
                "conga": "......x.....x.x.",
            },
        )
    },
    "waltz": {
        "3/4": (
            {"kick": "x...........", "snare": "....o...o...", "hat": "....o...o..."},
            {"kick": "X...........", "brush_tap": "....x...x...", "ride": "x...o...o..."},
            {"kick": "x.......o...", "rim": "....x...x...", "hat": "x.o.x.o.x.o."},
        ),
        "6/8": (
            {"kick": "X.....x.....", "snare": "....o.....o.", "hat": "x.o.o.x.o.o."},
            {"kick": "x...........", "snare": "......x.....", "ride": "x.o.o.x.o.o."},
        ),
    },
}

FILLS: dict[str, tuple[Pattern, ...]] = {
    "4/4": (
        {"snare": "........x.xxX.X.", "kick": "X...x..........."},
        {"snare": "............xxXX", "kick": "X.......x......."},
        {
            "snare": "....X...xx......",
            "high_tom": "..........xx....",
            "floor_tom": "............XxX.",
            "kick": "X.......x.......",
        },
        {
            "high_tom": "........xx......",
            "mid_tom": "..........xx....",
            "floor_tom": "............xxXX",
            "snare": "....X...........",
        },
        {"snare": "....X...o.x.xxXX", "kick": "X.x.........X..."},
    ),
    "4/4 triplet": (
        {"snare": "...o..xxxX.X", "kick": "X........x.."},
        {"snare": "......xx....", "high_tom": "........xx..", "floor_tom": "..........xX"},
        {"snare": "..o..ox.ox.o", "kick": "x..x........"},
    ),
    "12": (
        {"snare": "......x.x.xX", "kick": "X..........."},
        {"snare": "......xx....", "high_tom": "........xx..", "floor_tom": "..........XX", "kick": "X..........."},
    ),
    "9": ({"snare": "...o.ox.x", "kick": "x........"}, {"snare": "...x.oxxx"}),
}
LIGHT_FILLS: dict[str, tuple[Pattern, ...]] = {
    "4/4": (
        {"rim": "....x.......x.x."},
        {"brush_tap": "....x.....o.x.oo"},
        {"bongo_high": "....x...x.x.xx.x", "bongo_low": "x.....x....x..x."},
    ),
    "4/4 triplet": ({"brush_tap": "...x.....xoo", "ride": "x..x.xx..x.."}, {"snare": ".....g..oxoo"}),
    "12": ({"brush_tap": "....o...o.oo", "kick": "x..........."},),
    "9": ({"brush_tap": "...o..o.o"},),
}
