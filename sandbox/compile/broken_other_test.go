//go:build !linux && !darwin

package compile_test

func brokenChild(string) {}

func doomedParent(string, string, []string) {}
