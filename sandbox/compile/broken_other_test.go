//go:build !linux && !darwin

package compile_test

func brokenChild(string) {}

func beBystander() {}

func doomedParent(string, string, []string) {}
