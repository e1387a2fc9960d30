package resource

import (
	"maps"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Vars returns the variables in the tags of the nouns' flags.
func Vars() kong.Vars {
	return kong.Vars{"limits": limits.Usage(), "limitNames": strings.Join(limits.Names(), "=,") + "="}
}

// limitFlags set the limits of a decorator, by the names of the table of limits.
type limitFlags struct {
	Limit map[string]string `placeholder:"NAME=VALUE" mapsep:"," complete:"${limitNames}" help:"Set limits of a call: ${limits}. May be repeated."`

	// The spellings from before --limit: still accepted, no longer shown. A new
	// limit gets none.
	Memory      string `hidden:""`
	Timeout     string `hidden:""`
	CPU         string `name:"cpu" hidden:""`
	Input       string `hidden:""`
	OutputLimit string `hidden:""`
	Logs        string `hidden:""`
	Concurrency string `hidden:""`
}

// limits returns what the flags set. --limit comes before an older spelling.
func (f *limitFlags) limits() project.Limits {
	set := project.Limits{
		limits.Memory:      f.Memory,
		limits.Timeout:     f.Timeout,
		limits.CPU:         f.CPU,
		limits.Input:       f.Input,
		limits.Output:      f.OutputLimit,
		limits.Logs:        f.Logs,
		limits.Concurrency: f.Concurrency,
	}
	maps.Copy(set, f.Limit)
	return set
}
