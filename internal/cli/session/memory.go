package session

import (
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/state"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Profiles returns the profiles of the user.
func (s *Session) Profiles() profile.Dir { return profile.In(s.Getenv) }

// CoreURL returns the URL of a core that a user names.
func (s *Session) CoreURL(host string) string { return assemble.URL(host, s.Settings.Client.Port) }

// remember returns a client of cores that sees what earlier commands have written, and
// begins with the core that answered the last one. urls are the cores, at is where it
// connects to each, and opts say how.
func (s *Session) remember(urls, at []string, opts []client.Option) *client.Client {
	memory := state.In(s.Getenv)
	known := slices.Clone(urls)
	if last := slices.Index(urls, memory.Core(urls)); last > 0 {
		known, at = slices.Concat(urls[last:], urls[:last]), slices.Concat(at[last:], at[:last])
	}
	core := client.New(strings.Join(at, " "), append(opts,
		client.WithMinRevision(memory.Revisions()),
		client.WithRevisionFunc(func(revision string) { s.forgets(memory.Wrote(revision)) }),
	)...)
	if len(urls) > 1 {
		s.answered = func() {
			if i := slices.Index(at, core.URL()); i > 0 {
				s.forgets(memory.Answered(urls, known[i]))
			}
		}
	}
	return core
}

// forgets reports that something cannot be remembered. That is not a failure: the
// next command may have to wait, or is answered by a core that is behind.
func (s *Session) forgets(err error) {
	if err != nil && s.Verbose {
		s.Warnf("this command is not remembered for the next one: %s", err)
	}
}
