//go:build unix && !linux

package password

func idle() {}
