package credential

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ruedo-dev/ruedo/internal/cli/userdir"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Dir is the directory of the tokens of profiles. The zero Dir has none, and keeps
// none.
type Dir struct{ path string }

// In returns the directory for an environment.
func In(getenv func(string) string) Dir {
	state := userdir.State(getenv)
	if state == "" {
		return Dir{}
	}
	return Dir{filepath.Join(state, "tokens")}
}

func (d Dir) file(profile string) string { return filepath.Join(d.path, profile) }

// Has reports whether there is a token of a profile. It fails if others can read it.
func (d Dir) Has(profile string) (bool, error) {
	if d.path == "" || !names.Valid(profile) {
		return false, nil
	}
	st, err := os.Stat(d.file(profile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fault.Wrap(err, fault.ConfigInvalid, "%s cannot be read: %s", d.file(profile), text.Cause(err))
	case st.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return false, fault.New(fault.ConfigInvalid, "others can read or change the token of profile %s (mode %04o), so it is not used", profile, st.Mode().Perm()).
			WithFix("ruedo logout and ruedo login, after: chmod 600 %s", d.file(profile))
	}
	return true, nil
}

// Load returns the token of a profile; "" if there is none.
func (d Dir) Load(profile string) (string, error) {
	has, err := d.Has(profile)
	if err != nil || !has {
		return "", err
	}
	return client.TokenFile(d.file(profile))(context.Background())
}

// Save writes the token of a profile. Only the user can read it.
func (d Dir) Save(profile, token string) error {
	if d.path == "" {
		return fault.New(fault.ConfigInvalid, "there is no directory for tokens: neither HOME nor XDG_STATE_HOME is set")
	}
	err := os.MkdirAll(d.path, 0o700)
	if err == nil {
		var f *wholefile.File
		if f, err = wholefile.Create(d.file(profile)); err == nil {
			defer f.Discard()
			if _, err = f.WriteString(token + "\n"); err == nil {
				err = f.Keep()
			}
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "%s cannot be written: %s", d.file(profile), text.Cause(err))
	}
	return nil
}

// Delete removes the token of a profile, if there is one.
func (d Dir) Delete(profile string) error {
	if d.path == "" || !names.Valid(profile) {
		return nil
	}
	if err := os.Remove(d.file(profile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, fault.ConfigInvalid, "%s cannot be removed: %s", d.file(profile), text.Cause(err))
	}
	return nil
}
