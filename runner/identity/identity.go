// Package identity gives a runner an id that it keeps over restarts.
//
//	id, release := identity.Claim(dir, "edge")
//	defer release()
//
// An id is the name of an empty file in a directory, which the runner locks as
// long as it lives. After a restart it finds the file, and nobody holds the lock.
// Several runners with one directory, also at the same time, have an id each.
package identity

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/names"
)

// maxKept bounds the ids that a directory keeps for one name.
const maxKept = 64

// Claim returns an id for a name: one that was made for the name before and that
// no living runner has, or a new one. Call release when the runner has ended. If
// the directory cannot be used, the id is new, and is not kept.
func Claim(dir, name string) (id string, release func()) {
	if dir == "" || os.MkdirAll(dir, 0o700) != nil {
		return New(name), func() {}
	}
	for _, id := range kept(dir, name) {
		if unlock := lock(filepath.Join(dir, id), false); unlock != nil {
			return id, sync.OnceFunc(unlock)
		}
	}
	id = New(name)
	if len(kept(dir, name)) >= maxKept {
		return id, func() {}
	}
	unlock := lock(filepath.Join(dir, id), true)
	if unlock == nil {
		return id, func() {}
	}
	return id, sync.OnceFunc(unlock)
}

// kept returns the ids in a directory that were made for a name, sorted.
func kept(dir, name string) (ids []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	prefix := prefix(name)
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && len(rest) == randomChars && strings.Trim(rest, idChars) == "" && names.Valid(e.Name()) && e.Type().IsRegular() {
			ids = append(ids, e.Name())
		}
	}
	return ids
}
