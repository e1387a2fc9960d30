package wasi

import (
	"maps"
	"slices"

	"github.com/tetratelabs/wazero"
)

// programName is the first argument of every guest.
const programName = "service"

const (
	// callerVariable is where a command finds who calls, as in CGI.
	callerVariable = "REMOTE_USER"
	// anonymous is a caller who is nobody, and for whom CGI has no variable: programs
	// take whoever is named there for somebody who has logged in.
	anonymous = "anonymous"
)

// System is what a guest can see besides the host functions: its arguments and its
// environment.
type System struct {
	args   []string
	env    map[string]string
	config wazero.ModuleConfig // for calls of nobody
}

// NewSystem returns a System. It keeps args and env.
func NewSystem(args []string, env map[string]string) *System {
	return &System{args, env, configOf(args, env)}
}

// Config returns the configuration of an instance. caller is who calls it; "" and
// anonymous leave the environment as it is.
func (s *System) Config(caller string) wazero.ModuleConfig {
	if caller == "" || caller == anonymous {
		return s.config
	}
	// Made again, and not derived: configurations that derive from another one share
	// the memory of its environment, and so the callers of others.
	env := make(map[string]string, len(s.env)+1)
	maps.Copy(env, s.env)
	env[callerVariable] = caller
	return configOf(s.args, env)
}

func configOf(args []string, env map[string]string) wazero.ModuleConfig {
	m := wazero.NewModuleConfig().
		WithName(""). // several instances of one module can exist at the same time
		WithStartFunctions().
		WithArgs(append([]string{programName}, args...)...)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		m = m.WithEnv(k, env[k])
	}
	return m
}
