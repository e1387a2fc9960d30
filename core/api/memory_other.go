//go:build !unix

package api

func reserve(size int) ([]byte, error) { return make([]byte, size), nil }

func giveBack([]byte) {}
