//go:build !linux || !(amd64 || arm64)

package pristine

import (
	"errors"
	"fmt"
	"time"
)

func openStore(mem []byte, config Config) (store, error) {
	if config.Method != MethodAuto && config.Method != MethodPlain {
		return nil, fmt.Errorf("method %s: %w", config.Method, errors.ErrUnsupported)
	}
	return newPlainStore(mem), nil
}

func newEmpty(uint64) (body, error) { return &plain{space: []byte{}}, nil }

// threadUsage is for methods that are not here.
func threadUsage() (int64, time.Duration) { return -1, 0 }
