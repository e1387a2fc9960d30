// Package state is what the program remembers from one run to the next:
//
//	$XDG_STATE_HOME/ruedo/revisions/1234@k3j5x2m7qa   a write that this user has made
//	$XDG_STATE_HOME/ruedo/cores/5d41402abc4b2a76      the core of a list that answered last
//
// ~/.local/state takes the place of $XDG_STATE_HOME if that is not set.
//
// A write is remembered so that the next command sees it, whichever core answers;
// the names of the files are all that they say, so commands that run at the same
// time cannot lose each other's. A core is remembered so that not every command
// waits for one that is gone. Nothing of it matters for long: what is old,
// unreadable or too much is left out, and a directory that cannot be written
// remembers nothing.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/userdir"
)

const (
	// maxFiles bounds the files of a directory, and of those that are read.
	maxFiles = 16
	// writesLast and coresLast are how long they are remembered. By then, all
	// cores have seen the write, or are cut off from the store for a day.
	writesLast = 24 * time.Hour
	coresLast  = 10 * time.Minute
	// tempLasts is how long a file that is being written is left alone.
	tempLasts = time.Hour
)

// Dir is the directory. The zero Dir remembers nothing.
type Dir struct{ path string }

// In returns the directory for an environment.
func In(getenv func(string) string) Dir { return Dir{userdir.State(getenv)} }

// Revisions returns what this user has written, as the client takes it.
func (d Dir) Revisions() string {
	var all []string
	for _, f := range d.list("revisions", writesLast) {
		if _, _, ok := parse(f); ok {
			all = append(all, f)
		}
	}
	return strings.Join(all, ",")
}

// Wrote remembers the revisions that a client requires. If there are none, what
// was remembered was lost with a store, and is forgotten.
func (d Dir) Wrote(revisions string) error {
	known := d.list("revisions", writesLast)
	if revisions == "" {
		d.remove("revisions", known)
		return nil
	}
	for revision := range strings.SplitSeq(revisions, ",") {
		number, store, ok := parse(revision)
		if !ok || slices.Contains(known, revision) {
			continue
		}
		if err := d.write("revisions", revision, nil); err != nil {
			return err
		}
		// Only now are the earlier ones of the same store of no use.
		d.remove("revisions", slices.DeleteFunc(slices.Clone(known), func(f string) bool {
			n, s, ok := parse(f)
			return ok && (s != store || n >= number)
		}))
	}
	return nil
}

// parse reads "1234@k3j5x2m7qa"; the store can be missing.
func parse(revision string) (number int64, store string, ok bool) {
	text, store, named := strings.Cut(revision, "@")
	number, err := strconv.ParseInt(text, 10, 64)
	simple := !strings.ContainsFunc(store, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return number, store, err == nil && number > 0 && len(revision) < 64 && simple && named == (store != "")
}

// Core returns the URL of the core that answered last, of those in a list, or "".
func (d Dir) Core(list []string) string {
	name := nameOf(list...)
	if !slices.Contains(d.list("cores", coresLast), name) {
		return ""
	}
	f, err := os.Open(d.file("cores", name))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, len(name)+1)
	n, _ := f.Read(b) // nothing is read of a file that cannot be read
	for _, url := range list {
		if nameOf(url) == string(b[:n]) {
			return url
		}
	}
	return ""
}

// Answered remembers which core of a list has answered.
func (d Dir) Answered(list []string, url string) error {
	name := nameOf(list...)
	if url == list[0] { // the first one is asked first anyway
		d.remove("cores", []string{name})
		return nil
	}
	return d.write("cores", name, []byte(nameOf(url)))
}

// nameOf returns a name for URLs, which may hold a password.
func nameOf(urls ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(urls, " ")))
	return hex.EncodeToString(sum[:8])
}

func (d Dir) file(kind, name string) string { return filepath.Join(d.path, kind, name) }

// list returns the names of the files of a kind, the newest first, and removes
// those that are too old or too many.
func (d Dir) list(kind string, last time.Duration) []string {
	if d.path == "" {
		return nil
	}
	dir, err := os.Open(filepath.Join(d.path, kind))
	if err != nil {
		return nil
	}
	defer dir.Close()
	entries, _ := dir.Readdir(64 * maxFiles) // those that can be read
	slices.SortFunc(entries, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var names, old []string
	for _, e := range entries {
		age := time.Since(e.ModTime())
		if strings.HasPrefix(e.Name(), ".") && age < tempLasts {
			continue // somebody is writing it
		}
		if !e.Mode().IsRegular() || len(names) == maxFiles || age > last || age < -last {
			old = append(old, e.Name())
			continue
		}
		names = append(names, e.Name())
	}
	d.remove(kind, old)
	return names
}

// remove removes files. One that cannot be removed is too old next time as well.
func (d Dir) remove(kind string, names []string) {
	for _, name := range names {
		_ = os.Remove(d.file(kind, name))
	}
}

// write creates or replaces a file in one step. Only the user can read it.
func (d Dir) write(kind, name string, data []byte) error {
	if d.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(d.path, kind), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Join(d.path, kind), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), d.file(kind, name))
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
