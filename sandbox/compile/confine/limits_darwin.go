package confine

func firstToDie() {}

// mapped returns what of this process counts against RLIMIT_DATA and RLIMIT_AS, in
// bytes: a guess, as macOS hardly enforces them.
func mapped() (data, space uint64) { return 1 << 30, 4 << 30 }
