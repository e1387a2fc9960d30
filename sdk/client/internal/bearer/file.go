package bearer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxFile bounds the file of a token, in bytes.
const maxFile = 4 << 10

// File returns the token in a file, which is read again when it has changed. A file that
// every user of the machine can read is refused.
func File(path string) func(context.Context) (string, error) {
	f := &file{path: path}
	return f.token
}

type file struct {
	path string

	mu   sync.Mutex
	read os.FileInfo // of the file that text is from; nil: there is none yet
	text string
}

func (f *file) token(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, err := os.Stat(f.path)
	if err != nil {
		return "", f.unreadable(err)
	}
	if f.read != nil && os.SameFile(st, f.read) && st.ModTime().Equal(f.read.ModTime()) && st.Size() == f.read.Size() && st.Mode() == f.read.Mode() {
		return f.text, nil
	}
	text, err := f.load()
	if err != nil {
		return "", err
	}
	f.read, f.text = st, text
	return text, nil
}

// load reads the file.
func (f *file) load() (string, error) {
	opened, err := os.Open(f.path)
	if err != nil {
		return "", f.unreadable(err)
	}
	defer opened.Close()
	st, err := opened.Stat()
	switch {
	case err != nil:
		return "", f.unreadable(err)
	case !st.Mode().IsRegular() || st.Size() > maxFile:
		return "", fault.New(fault.ConfigInvalid, "%s is not a file with a token", f.path)
	case st.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows":
		return "", fault.New(fault.ConfigInvalid, "everybody on this machine can read or change the token in %s (mode %04o), so it is not used", f.path, st.Mode().Perm()).
			WithFix("chmod 600 %s; then rotate the token, since others may know it", f.path)
	}
	data, err := io.ReadAll(io.LimitReader(opened, maxFile))
	if err != nil {
		return "", f.unreadable(err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", fault.New(fault.ConfigInvalid, "%s has no token: it is empty", f.path).WithFix("write one into it, or name another file")
	}
	return text, nil
}

func (f *file) unreadable(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fault.Wrap(err, fault.ConfigInvalid, "the token in %s cannot be read: %s", f.path, err).WithFix("write one into it, or name another file")
}
