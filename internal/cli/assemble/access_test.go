package assemble

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// what a process shows a core, in words.
func shows(t *testing.T, a *Assembler, url string) string {
	t.Helper()
	known, err := a.access()
	if err != nil {
		t.Fatal(err)
	}
	how := known.runner(url)
	words := ""
	if how.Token != nil {
		text, err := how.Token(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		words += "token " + text[8:18]
	}
	if how.Socket != "" {
		words += "socket"
	}
	if how.TLS != nil {
		words += " tls"
		if how.TLS.GetClientCertificate != nil {
			words += " certificate"
		}
	}
	return words
}

func TestHowARunnerGetsIn(t *testing.T) {
	run := t.TempDir()
	door, err := socket.Listen(socket.Config{Dirs: []string{filepath.Join(run, "ruedo")}, Port: 17833})
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	ofEnv, ofFile := token.New(token.Bearer), token.New(token.Bearer)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(ofFile.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	authority := pkitest.NewAuthority(t)
	ca, pair := pkitest.CAFile(t, authority), pkitest.NewPair(t, authority, pkitest.ForHost("edge"))
	const here, there = "http://127.0.0.1:17833", "https://core-1:17833"
	for name, c := range map[string]struct {
		env    string
		change func(*settings.Resolved)
		url    string
		want   string
	}{
		"on this machine":          {"", func(*settings.Resolved) {}, here, "socket"},
		"another port":             {"", func(*settings.Resolved) {}, "http://127.0.0.1:17834", ""},
		"another machine":          {"", func(*settings.Resolved) {}, there, ""},
		"a token of the file":      {"", func(s *settings.Resolved) { s.Client.TokenFile = file }, here, "token " + ofFile.ID()},
		"a token of the variable":  {ofEnv.Reveal(), func(s *settings.Resolved) { s.Client.TokenFile = file }, there, "token " + ofEnv.ID()},
		"an authority and a token": {ofEnv.Reveal(), func(s *settings.Resolved) { s.TLS.CAFile = ca }, there, "token " + ofEnv.ID() + " tls"},
		"a client certificate":     {"", func(s *settings.Resolved) { s.TLS.CertFile, s.TLS.KeyFile = pair.Cert, pair.Key }, there, " tls certificate"},
	} {
		a := &Assembler{Settings: &settings.Resolved{}, Getenv: func(key string) string {
			return map[string]string{"XDG_RUNTIME_DIR": run, settings.EnvToken: c.env}[key]
		}}
		c.change(a.Settings)
		if got := shows(t, a, c.url); got != c.want {
			t.Errorf("%s: shows %q, want %q", name, got, c.want)
		}
	}
	for want, change := range map[string]func(*settings.Resolved){
		"tls.ca_certificate_file cannot be used": func(s *settings.Resolved) { s.TLS.CAFile = pair.Key },
		"its private key belong together":        func(s *settings.Resolved) { s.TLS.CertFile = pair.Cert },
		"the client certificate cannot be used":  func(s *settings.Resolved) { s.TLS.CertFile, s.TLS.KeyFile = pair.Cert, ca },
	} {
		a := &Assembler{Settings: &settings.Resolved{}}
		change(a.Settings)
		_, err := a.access()
		testkit.WantReason(t, err, fault.ConfigInvalid, want)
	}
}
