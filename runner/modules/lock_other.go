//go:build !linux && !darwin

package modules

import "os"

// lock does nothing: here, runners must not share a directory.
func lock(*os.File) error { return nil }
