// Package watch waits for files of a directory to change.
//
//	tree := watch.New(dir)
//	for {
//		build()
//		if err := tree.Next(ctx); err != nil {
//			return err
//		}
//	}
//
// It compares sizes and times of the files, so it works on every file system
// and for every editor, and starts no goroutine. See "Why does --watch look at
// the files instead of asking the system?" in docs/RATIONALE.md.
//
// Files that are not source do not count: hidden ones, modules (*.wasm), backup
// files of editors, and the directories that build tools write.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// interval is the shortest time between two looks.
	interval = 20 * time.Millisecond
	// settled is how long files must stay as they are before a change counts, at
	// least.
	settled = 10 * time.Millisecond
	// share bounds the work: a look that took a millisecond is followed by a
	// pause of at least 20.
	share = 20
	// maxFiles bounds the files of a directory.
	maxFiles = 20_000
)

// outputs are names of directories that build tools write, or that packages of
// others are in.
var outputs = []string{"dist", "node_modules", "target", "zig-out"}

// Tree is a directory and what was last seen in it. It is not safe for
// concurrent use.
type Tree struct {
	dir  string
	seen map[string]state
}

// state is what distinguishes a changed file from an unchanged one.
type state struct {
	size int64
	time time.Time
}

// New looks at dir. What changes from now on ends the next [Tree.Next].
func New(dir string) (*Tree, error) {
	t := &Tree{dir: dir}
	var err error
	t.seen, err = look(dir)
	return t, err
}

// Next waits until files have changed since they were last looked at, by New or
// by Next, and then stay as they are for a moment. It returns the error of ctx
// when ctx ends, or why the directory cannot be read.
func (t *Tree) Next(ctx context.Context) error {
	pause := interval
	last, changed := t.seen, false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		began := time.Now()
		now, err := look(t.dir)
		if err != nil {
			return err
		}
		took := time.Since(began)
		same := equal(now, last)
		if changed && same {
			t.seen = now
			return nil
		}
		changed = changed || !same
		last = now
		if pause = max(interval, share*took); changed {
			pause = max(settled, took)
		}
	}
}

func equal(a, b map[string]state) bool {
	if len(a) != len(b) {
		return false
	}
	for name, s := range a {
		if was, ok := b[name]; !ok || was.size != s.size || !was.time.Equal(s.time) {
			return false
		}
	}
	return true
}

// look returns the files of dir by path. A file that vanishes meanwhile, as when
// an editor replaces it, is left out.
func look(dir string) (map[string]state, error) {
	files := make(map[string]state)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path != dir && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fault.Wrap(err, fault.RequestInvalid, "cannot read %s: %s", path, text.Cause(err))
		}
		if path != dir && ignored(d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // it is gone
		}
		files[path] = state{info.Size(), info.ModTime()}
		if len(files) > maxFiles {
			return fault.New(fault.RequestInvalid, "%s has more than %d files, the limit for --watch", dir, maxFiles).
				WithFix("watch the directory of one service")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	return files, nil
}

func ignored(d fs.DirEntry) bool {
	name := d.Name()
	if d.IsDir() {
		return strings.HasPrefix(name, ".") || slices.Contains(outputs, name)
	}
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") || filepath.Ext(name) == ".wasm"
}
