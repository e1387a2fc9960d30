// Package userdir names the directories in which the program keeps files of its user,
// as the XDG base directory specification places them:
//
//	$XDG_CONFIG_HOME/ruedo   ~/.config/ruedo        what the user has chosen
//	$XDG_STATE_HOME/ruedo    ~/.local/state/ruedo   what the program remembers
//	$XDG_CACHE_HOME/ruedo    ~/.cache/ruedo         what it can make again
//
// The second column counts if the variable is not set. The directories need not exist.
package userdir

import "path/filepath"

// Config returns the directory for settings and profiles; "" if the environment names
// none.
func Config(getenv func(string) string) string { return in(getenv, "XDG_CONFIG_HOME", ".config") }

// State returns the directory for what is remembered from one run to the next; "" if
// the environment names none.
func State(getenv func(string) string) string { return in(getenv, "XDG_STATE_HOME", ".local/state") }

// Cache returns the directory for modules and compiled code; "" if the environment
// names none.
func Cache(getenv func(string) string) string { return in(getenv, "XDG_CACHE_HOME", ".cache") }

func in(getenv func(string) string, variable, below string) string {
	if base := getenv(variable); base != "" {
		return filepath.Join(base, "ruedo")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, filepath.FromSlash(below), "ruedo")
	}
	return ""
}
