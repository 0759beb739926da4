"""Chord progressions of the composer, in roman numerals relative to the tonic's major scale, by family and mode."""

POP_MAJOR = (
    "I V vi IV",
    "vi IV I V",
    "I vi IV V",
    "IV V iii vi",
    "I IV vi V",
    "I iii IV V",
    "IV I V vi",
    "I V/7 vi IV",
    "I IV I V",
    "ii IV I V",
    "I V ii IV",
    "IV V I vi",
    "I Vsus4 vi IVmaj7",
    "vi V IV V",
)
POP_MINOR = (
    "i bVI bIII bVII",
    "i iv bVII bIII",
    "i bVII bVI V",
    "i bVI iv V",
    "i v bVI bVII",
    "bVI bVII i i",
    "i bIII bVII iv",
    "i bVII bVI bVII",
    "iv i V i",
)
ROCK_MAJOR = ("I bVII IV I", "I IV V IV", "I V IV IV", "vi IV I V", "I bIII IV I", "I I IV V", "IV I V V")
ROCK_MINOR = ("i bVII bVI bVII", "i bVI bVII i", "i bIII bVII IV", "i iv i V", "i bVI bIII bVII", "i i bVI bVII")
FUNK_MAJOR = ("I9 I9 IV9 IV9", "ii7 V9 ii7 V9", "I9 IV9 I9 V9", "IVmaj7 iii7 ii7 I9", "I9 bVII9 IV9 I9")
FUNK_MINOR = ("i7 IV9 i7 IV9", "i9 i9 iv7 V7", "i7 bVII7 iv7 i7", "i9 IV9 bVImaj7 V7", "i7 i7 i7 V7")
JAZZ_MAJOR = (
    "ii7 V7 Imaj7 VI7",
    "Imaj7 vi7 ii7 V7",
    "iii7 VI7 ii7 V9",
    "Imaj7 Imaj7 iv7 bVII7",
    "ii7 V9 Imaj7 Imaj7",
    "IVmaj7 iv7 Imaj7 VI7",
    "Imaj9 II7 ii7 V7",
    "Imaj7 I7 IVmaj7 iv6",
)
JAZZ_MINOR = (
    "iihdim7 V7 i7 i6",
    "i7 iv7 bVII7 bIIImaj7",
    "i7 bVImaj7 iihdim7 V7",
    "iv7 bVII7 bIIImaj7 bVImaj7",
    "i7 i7 iv7 V7",
)
BOSSA_MAJOR = (
    "Imaj7 II7 ii7 V7",
    "Imaj9 vi7 ii9 V9",
    "Imaj7 bVII7 VI7 II7",
    "iii7 bIIIdim7 ii7 V7",
    "IVmaj7 iv6 Imaj7 VI7",
)
BOSSA_MINOR = ("i7 iv7 iihdim7 V7", "i6 bVI7 V7 i6", "i9 iv9 bVII9 bIIImaj7", "i7 IV7 iihdim7 V7")
HIPHOP_MAJOR = ("IVmaj7 iii7 vi7 Imaj7", "ii9 V9 Imaj7 vi7", "vi7 IVmaj7 Imaj7 V", "Imaj7 iii7 IVmaj7 iv6")
HIPHOP_MINOR = ("i7 bVImaj7 i7 V7", "i9 iv9 i9 iv9", "i bVI iv V", "bVImaj7 V7 i7 i7", "i7 bVII bVImaj7 V7")
DANCE_MAJOR = ("vi IV I V", "IV V vi I", "I V vi IV", "vi V IV IV", "IVmaj7 V iii7 vi7")
DANCE_MINOR = ("i bVI bIII bVII", "i bVII bVI bVI", "bVI bVII i i", "i v bVI iv", "i7 i7 bVImaj7 bVII")
WALTZ_MAJOR = ("I I V7 V7", "I IV V7 I", "I vi ii V7", "I V7 V7 I", "I I/3 IV V7", "IV I V7 I", "I VI7 ii V7")
WALTZ_MINOR = ("i i V7 i", "i iv V7 i", "i bVII bVI V7", "iv i V7 i", "i bIII bVI V7")

PROGRESSIONS = {
    "ballad": (POP_MAJOR, POP_MINOR),
    "pop": (POP_MAJOR, POP_MINOR),
    "rock": (ROCK_MAJOR + POP_MAJOR[:3], ROCK_MINOR),
    "funk": (FUNK_MAJOR, FUNK_MINOR),
    "electronic": (DANCE_MAJOR, DANCE_MINOR),
    "acoustic": (POP_MAJOR, POP_MINOR),
    "hip-hop": (HIPHOP_MAJOR, HIPHOP_MINOR),
    "jazz-swing": (JAZZ_MAJOR, JAZZ_MINOR),
    "bossa-nova": (BOSSA_MAJOR, BOSSA_MINOR),
    "waltz": (WALTZ_MAJOR, WALTZ_MINOR),
}
TWELVE_BAR = "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7"
TWELVE_BAR_MINOR = "i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7"
