package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	claimPrefix = "claim-"
	// claimInterval is the time between two attempts to get a claim.
	claimInterval = 5 * time.Millisecond
)

// Claim announces that the caller makes the code of a key. If another cache with
// the same private directory does so at the moment, Claim waits for it and returns
// true: the code is likely to be there now. It waits for patience at most, or
// until ctx ends; then two make the same code, which costs time and nothing else.
// release ends the claim.
func (c *Cache) Claim(ctx context.Context, key string, patience time.Duration) (waited bool, release func()) {
	none := func() {}
	if c.work.private == "" || !locks {
		return false, none // nobody else could find the code
	}
	path := filepath.Join(c.work.private, fmt.Sprintf("%s%x", claimPrefix, sha256.Sum256([]byte(key))))
	for end := time.Now().Add(patience); ; waited = true {
		if unlock, err := claim(path); err != nil {
			return waited, none // compiling meets the same disk, and says what is wrong with it
		} else if unlock != nil {
			return waited, func() {
				_ = os.Remove(path) // whoever waits has it open
				_ = unlock()
			}
		}
		if time.Now().After(end) {
			return waited, none
		}
		select {
		case <-time.After(claimInterval):
		case <-ctx.Done():
			return waited, none
		}
	}
}

// sweepClaim removes a claim whose process has ended.
func sweepClaim(path string) error {
	unlock, err := lock(path, false)
	if errors.Is(err, fs.ErrNotExist) || err == nil && unlock == nil {
		return nil // it has just been released, or somebody has it
	}
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(path), unlock())
}

// claim takes a lock, which is nil if somebody else has it.
func claim(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return lock(path, false)
}
