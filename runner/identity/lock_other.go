//go:build !linux && !darwin

package identity

// lock cannot lock files on this system, so no id is kept.
func lock(string, bool) (unlock func()) { return nil }
