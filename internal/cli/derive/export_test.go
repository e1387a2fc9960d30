package derive

// Kept reports whether there is an answer.
func (l *Listing) Kept() bool { return l.packages != nil }
