package settings

import (
	"errors"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// level is how much the origin of a value counts.
type level int

const (
	fromDefault level = iota
	fromFile
	profileInUse
	profileFromEnv
	fromEnv
	profileFromFlag
	fromFlag
)

// Chosen is the profile that was chosen.
type Chosen struct {
	Name string
	// Origin is "ruedo use", "env RUEDO_PROFILE" or "flag --profile".
	Origin string
	// Replaced is the setting that counts for more and replaces the profile, with
	// its origin, or "".
	Replaced string

	profile *profile.Profile // nil if it cannot be read
	err     error
	level   level
}

// choose reads the profile. That it cannot be read concerns only commands that
// use it: others mend it.
func (r *Resolved) choose(in Input, env map[string]string) {
	dir := profile.In(func(name string) string { return env[name] })
	c := &Chosen{Name: in.Flags[FlagProfile].Value, Origin: "flag --profile", level: profileFromFlag}
	if c.Name == "" {
		c.Name, c.Origin, c.level = env[EnvProfile], "env "+EnvProfile, profileFromEnv
	}
	if c.Name == "" {
		c.Origin, c.level = "ruedo use", profileInUse
		if c.Name, c.err = dir.InUse(); c.Name == "" && c.err == nil {
			return
		}
	}
	r.Profile = c
	if name, at := r.cores(); at > c.level {
		c.Replaced = name + " from " + r.origins[name]
		return
	}
	if c.err == nil {
		c.profile, c.err = dir.Load(c.Name)
	}
	if e, ok := errors.AsType[*fault.Error](c.err); ok {
		own := *e
		own.Message += " (from " + c.Origin + ")"
		c.err = &own
	}
	if c.profile != nil && c.profile.Warning != "" {
		r.Warnings = append(r.Warnings, c.profile.Warning)
	}
}

// cores returns the setting that names the cores, apart from a profile, and how
// much it counts.
func (r *Resolved) cores() (name string, at level) {
	const list, one = "client.hosts", "client.host"
	if r.levels[one] > r.levels[list] || len(r.Settings.Client.Hosts) == 0 {
		return one, r.levels[one]
	}
	return list, r.levels[list]
}

// Target is the cores that commands talk to.
type Target struct {
	// Hosts of one cluster at least, each as host, host:port or URL.
	Hosts []string
	// ClusterID is the cluster that the user means; "" means any.
	ClusterID string
	// Origin says where Hosts come from, for example "client.host from env
	// RUEDO_CLIENT_HOST" or "profile prod from ruedo use".
	Origin string
	// Given is false if Hosts are the default.
	Given bool
	// Profile is what Hosts are from; nil if they are from no profile.
	Profile *profile.Profile
}

// Target returns the cores that commands talk to: those of the profile, of
// client.hosts or of client.host. It fails with PROFILE_NOT_FOUND or
// CONFIG_INVALID if a profile was chosen that cannot be read.
func (r *Resolved) Target() (Target, error) {
	var t Target
	id := r.levels["application.cluster_id"]
	if id > fromDefault {
		t.ClusterID = r.Application.ClusterID
	}
	if c := r.Profile; c != nil && c.Replaced == "" {
		if c.err != nil {
			return t, c.err
		}
		t.Hosts, t.Given, t.Origin = slices.Clone(c.profile.Hosts), true, "profile "+c.Name+" from "+c.Origin
		t.Profile = c.profile
		if id < c.level {
			t.ClusterID = c.profile.ClusterID
		}
		return t, nil
	}
	name, at := r.cores()
	t.Hosts, t.Given, t.Origin = r.hosts(name), at > fromDefault, name+" from "+r.origins[name]
	return t, nil
}

// hosts returns the cores of one of the two settings.
func (r *Resolved) hosts(name string) []string {
	if name == "client.host" {
		list, _ := hosts.Split(r.Settings.Client.Host) // it was checked
		return list
	}
	return slices.Clone(r.Settings.Client.Hosts)
}

// Used returns the name of the profile that was chosen, or "".
func (r *Resolved) Used() string {
	if r.Profile == nil {
		return ""
	}
	return r.Profile.Name
}

// OverInUse returns what takes precedence over a profile that `ruedo use` chooses,
// with its origin, or "".
func (r *Resolved) OverInUse() string {
	if name, at := r.cores(); at > profileInUse {
		return name + " from " + r.origins[name]
	}
	if c := r.Profile; c != nil && c.level > profileInUse {
		return "profile " + c.Name + " from " + c.Origin
	}
	return ""
}

// Flags returns the cores and the cluster on the command line.
func (r *Resolved) Flags() (cores []string, cluster string) {
	if name, at := r.cores(); at == fromFlag {
		cores = r.hosts(name)
	}
	if r.levels["application.cluster_id"] == fromFlag {
		cluster = r.Application.ClusterID
	}
	return cores, cluster
}
