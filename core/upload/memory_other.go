//go:build !unix

package upload

func mmapAlloc(size int) ([]byte, error) { return make([]byte, size), nil }

func mmapFree([]byte) {}
