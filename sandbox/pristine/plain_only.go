//go:build !linux || !(amd64 || arm64)

package pristine

import (
	"errors"
	"fmt"
)

func openStore(mem []byte, config Config) (store, error) {
	if config.Method != MethodAuto && config.Method != MethodPlain {
		return nil, fmt.Errorf("method %s: %w", config.Method, errors.ErrUnsupported)
	}
	return newPlainStore(mem), nil
}

func newEmpty(uint64) (body, error) { return &plain{space: []byte{}}, nil }
