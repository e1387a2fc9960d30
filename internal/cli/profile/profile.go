// Package profile keeps named profiles, one for each cluster that a user works
// with, in the config directory:
//
//	$XDG_CONFIG_HOME/ruedo/profiles/NAME.yaml   a profile
//	$XDG_CONFIG_HOME/ruedo/profile              the name of the one in use
//
// ~/.config takes the place of $XDG_CONFIG_HOME if that is not set. Files are
// replaced as a whole, and only their owner can read them. They hold no secret: tokens
// are the business of package credential.
package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/userdir"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

// Profile says which cores to talk to.
type Profile struct {
	Name string `yaml:"-"`
	// Hosts are cores of one cluster, each as host, host:port or URL.
	Hosts []string `yaml:"hosts"`
	// ClusterID is the cluster that is meant; "" means any.
	ClusterID string `yaml:"cluster_id,omitempty"`
	// User is who has logged in; "" if nobody has.
	User string `yaml:"user,omitempty"`
	// Authority is that of the cluster's certificates: PEM, or the path of a file
	// with it. "" believes those of the system.
	Authority string `yaml:"authority,omitempty"`
	// CertificateFile and PrivateKeyFile are paths of the client certificate that cores
	// are shown that ask for one; "" is none.
	CertificateFile string `yaml:"certificate_file,omitempty"`
	PrivateKeyFile  string `yaml:"private_key_file,omitempty"`
	// Warning says what is wrong with the file of the profile, or "".
	Warning string `yaml:"-"`
	// Changeable is true if others can change the file, and so where a token goes.
	Changeable bool `yaml:"-"`
}

// Shown returns the hosts for display, without passwords.
func (p *Profile) Shown() string {
	var list []string
	for _, h := range p.Hosts {
		list = append(list, hosts.Shown(h))
	}
	return strings.Join(list, " ")
}

const (
	// maxFile bounds a file, in bytes.
	maxFile = 64 << 10
	// maxListed bounds the profiles that are listed.
	maxListed = 1000
)

// Dir is the directory of the profiles. The zero Dir has none, and keeps none.
type Dir struct{ path string }

// In returns the directory for an environment.
func In(getenv func(string) string) Dir { return Dir{userdir.Config(getenv)} }

func (d Dir) file(name string) string { return filepath.Join(d.path, "profiles", name+".yaml") }

func (d Dir) inUse() string { return filepath.Join(d.path, "profile") }

// Load reads a profile. It fails with PROFILE_NOT_FOUND, which names those that
// exist, or with CONFIG_INVALID.
func (d Dir) Load(name string) (*Profile, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	data, mode, err := d.read(d.file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, d.unknown(name)
	case err != nil:
		return nil, unreadable(err, d.file(name))
	}
	p := &Profile{Name: name}
	if err := yamlfile.One(d.file(name), data, p); err != nil {
		return nil, err
	}
	if p.Hosts, err = hosts.Split(strings.Join(p.Hosts, " ")); err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "%s: hosts: %s", d.file(name), err)
	}
	if p.ClusterID != "" && !names.Valid(p.ClusterID) {
		return nil, fault.New(fault.ConfigInvalid, "%s: cluster_id: %q is not the id of a cluster", d.file(name), fault.Cut(p.ClusterID, 64))
	}
	if mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		p.Warning = fmt.Sprintf("others can read or change profile %s (mode %04o): chmod 600 %s", name, mode.Perm(), d.file(name))
		p.Changeable = mode.Perm()&0o022 != 0
	}
	return p, nil
}

// List returns all profiles that can be read, by name, and what is wrong with the
// others.
func (d Dir) List() (list []*Profile, failed []error) {
	for _, name := range d.names() {
		p, err := d.Load(name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		list = append(list, p)
	}
	return list, failed
}

// names returns the names of all profiles, sorted.
func (d Dir) names() []string {
	if d.path == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(d.path, "profiles"))
	if err != nil {
		return nil
	}
	defer f.Close()
	files, _ := f.Readdirnames(maxListed) // what cannot be listed is not there
	var list []string
	for _, file := range files {
		if name, ok := strings.CutSuffix(file, ".yaml"); ok && names.Valid(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// InUse returns the name of the profile that [Dir.Use] has chosen, or "".
func (d Dir) InUse() (string, error) {
	if d.path == "" {
		return "", nil
	}
	data, _, err := d.read(d.inUse())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", unreadable(err, d.inUse())
	}
	name := strings.TrimSpace(string(data))
	if name != "" && !names.Valid(name) {
		return "", fault.New(fault.ConfigInvalid, "%s does not hold the name of a profile", d.inUse()).WithFix("ruedo use PROFILE")
	}
	return name, nil
}

// Use makes commands use a profile, which must exist. "" means none.
func (d Dir) Use(name string) error {
	if name == "" {
		if err := os.Remove(d.inUse()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unwritable(err, d.inUse())
		}
		return nil
	}
	if _, err := d.Load(name); err != nil {
		return err
	}
	return d.write(d.inUse(), []byte(name+"\n"))
}

// Create writes a new profile. It fails with ALREADY_EXISTS.
func (d Dir) Create(p *Profile) error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	if _, err := os.Lstat(d.file(p.Name)); err == nil {
		return fault.New(fault.AlreadyExists, "there is a profile %s already", p.Name).WithFix("ruedo delete profile %s, or choose another name", p.Name)
	}
	return d.Save(p)
}

// Save writes a profile, whether it is new or not.
func (d Dir) Save(p *Profile) error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	data, err := yaml.Marshal(p)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "profile %s cannot be written as YAML", p.Name)
	}
	return d.write(d.file(p.Name), data)
}

// Delete removes a profile. If it was in use, none is from then on.
func (d Dir) Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch err := os.Remove(d.file(name)); {
	case errors.Is(err, fs.ErrNotExist):
		return d.unknown(name)
	case err != nil:
		return unwritable(err, d.file(name))
	}
	if used, err := d.InUse(); err == nil && used == name {
		return d.Use("")
	}
	return nil
}

// read returns the content and the mode of a small file.
func (d Dir) read(path string) ([]byte, fs.FileMode, error) {
	if d.path == "" {
		return nil, 0, fs.ErrNotExist
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, 0, fmt.Errorf("it is not a file of at most %d bytes", maxFile)
	}
	data, err := os.ReadFile(path)
	return data, st.Mode(), err
}

// write replaces a file in one step. Only the user can read it.
func (d Dir) write(path string, data []byte) error {
	if d.path == "" {
		return fault.New(fault.ConfigInvalid, "there is no directory for profiles: neither HOME nor XDG_CONFIG_HOME is set")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return unwritable(err, path)
	}
	f, err := wholefile.Create(path)
	if err == nil {
		defer f.Discard()
		if _, err = f.Write(data); err == nil {
			err = f.Keep()
		}
	}
	if err != nil {
		return unwritable(err, path)
	}
	return nil
}

func checkName(name string) error {
	if !names.Valid(name) {
		return fault.New(fault.Usage, "%q is not the name of a profile: lower-case letters, digits and dashes are expected, 1 to 63", fault.Cut(name, 64))
	}
	return nil
}

// maxNamed bounds the profiles that an error names.
const maxNamed = 10

// unknown returns the error for a profile that does not exist.
func (d Dir) unknown(name string) error {
	known := d.names()
	e := fault.New(fault.ProfileNotFound, "there is no profile %q", name).With("profile", name)
	if len(known) == 0 {
		return e.WithFix("ruedo create profile %s --host HOST", name)
	}
	e.Message += " (profiles: " + text.List(known[:min(len(known), maxNamed)], len(known)) + ")"
	return e.WithFix("%s", suggest.Or(name, known, "ruedo get profiles"))
}

func unreadable(err error, path string) error {
	return fault.Wrap(err, fault.ConfigInvalid, "%s cannot be read: %s", path, text.Cause(err))
}

func unwritable(err error, path string) error {
	return fault.Wrap(err, fault.ConfigInvalid, "%s cannot be written: %s", path, text.Cause(err))
}
