// Package credential finds what a process shows the cores that it talks to, and by
// what it believes them: for commands as for runners and cores. See [Finder].
//
// A token comes from the first of these that has one: RUEDO_TOKEN, the file of
// client.token_file, the command of client.token_command, the profile. Those of
// profiles are kept here, in the state directory:
//
//	$XDG_STATE_HOME/ruedo/tokens/NAME   the token of profile NAME
//
// ~/.local/state takes the place of $XDG_STATE_HOME if that is not set. A file that
// others can read is not used: they may know the token.
package credential

import (
	"bytes"
	"context"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Places are where a token can be.
type Places struct {
	// Env is the value of RUEDO_TOKEN.
	Env string
	// File and Command are the settings client.token_file and client.token_command.
	File, Command string
	// Profile is the name of the profile that says where to go; "" if none does. Its
	// token is in Dir.
	Profile string
	Dir     Dir
}

// Credential is a token and its source.
type Credential struct {
	Token client.Token
	// Origin is where the token was found, as messages say it: "env RUEDO_TOKEN".
	Origin string
	// Profile is the name of the profile whose token it is, or "".
	Profile string
}

// Find returns the credential that counts; nil if there is none.
func (p Places) Find() (*Credential, error) {
	switch {
	case p.Env != "":
		return &Credential{Token: client.StaticToken(strings.TrimSpace(p.Env)), Origin: "env RUEDO_TOKEN"}, nil
	case p.File != "":
		return &Credential{Token: client.TokenFile(p.File), Origin: "client.token_file " + p.File}, nil
	case p.Command != "":
		return &Credential{Token: command(p.Command), Origin: "client.token_command"}, nil
	case p.Profile == "":
		return nil, nil
	}
	has, err := p.Dir.Has(p.Profile)
	if err != nil || !has {
		return nil, err
	}
	return &Credential{Token: client.TokenFile(p.Dir.file(p.Profile)), Origin: "profile " + p.Profile, Profile: p.Profile}, nil
}

const (
	// commandTime is how long a command has to print a token. It may ask its user
	// for a password.
	commandTime = 2 * time.Minute
	// maxCommand bounds what it prints, in bytes.
	maxCommand = 4 << 10
)

// command returns the token that a command prints. It runs once, for the first
// request.
func command(line string) client.Token {
	run := sync.OnceValues(func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), commandTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		if runtime.GOOS == "windows" {
			cmd = exec.CommandContext(ctx, "cmd", "/C", line)
		}
		var out limited
		cmd.Stdout = &out
		// What it says on stderr can be anything, so it is in no error.
		if err := cmd.Run(); err != nil {
			return "", fault.Wrap(err, fault.ConfigInvalid, "client.token_command did not print a token: %s", err).
				WithFix("run the command yourself, and see what it says")
		}
		text := strings.TrimSpace(out.kept.String())
		if text == "" {
			return "", fault.New(fault.ConfigInvalid, "client.token_command printed nothing").WithFix("run the command yourself, and see what it says")
		}
		return text, nil
	})
	return func(context.Context) (string, error) { return run() }
}

// limited keeps the beginning of what is written to it.
type limited struct{ kept bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	_, _ = l.kept.Write(p[:min(len(p), maxCommand-l.kept.Len())]) // a buffer in memory does not fail
	return len(p), nil
}
