package userdir_test

import (
	"path/filepath"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/userdir"
)

func TestTheEnvironmentSaysWhereFilesOfTheUserAre(t *testing.T) {
	type dirs struct{ config, state, cache string }
	for what, c := range map[string]struct {
		env  map[string]string
		want dirs
	}{
		"nothing": {nil, dirs{}},
		"a home": {
			map[string]string{"HOME": "/home/ada"},
			dirs{"/home/ada/.config/ruedo", "/home/ada/.local/state/ruedo", "/home/ada/.cache/ruedo"},
		},
		"variables, which come first": {
			map[string]string{"HOME": "/home/ada", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/k"},
			dirs{"/c/ruedo", "/s/ruedo", "/k/ruedo"},
		},
	} {
		getenv := func(name string) string { return c.env[name] }
		got := dirs{userdir.Config(getenv), userdir.State(getenv), userdir.Cache(getenv)}
		want := dirs{filepath.FromSlash(c.want.config), filepath.FromSlash(c.want.state), filepath.FromSlash(c.want.cache)}
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
}
