package credential

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func in(t *testing.T) (d Dir, path string) {
	t.Helper()
	home := t.TempDir()
	return In(func(name string) string { return map[string]string{"HOME": home}[name] }), filepath.Join(home, ".local", "state", "ruedo", "tokens")
}

func shown(t *testing.T, c *Credential) string {
	t.Helper()
	if c == nil {
		return ""
	}
	text, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhichTokenCounts(t *testing.T) {
	d, _ := in(t)
	if err := d.Save("prod", "of-profile"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Places{Env: " of-env\n", File: file, Command: "echo of-command", Profile: "prod", Dir: d}
	for _, step := range []struct {
		without                func()
		token, origin, profile string
	}{
		{func() {}, "of-env", "env RUEDO_TOKEN", ""},
		{func() { p.Env = "" }, "of-file", "client.token_file " + file, ""},
		{func() { p.File = "" }, "of-command", "client.token_command", ""},
		{func() { p.Command = "" }, "of-profile", "profile prod", "prod"},
		{func() { p.Profile = "lab" }, "", "", ""},
		{func() { p.Profile = "" }, "", "", ""},
	} {
		step.without()
		c, err := p.Find()
		if err != nil || shown(t, c) != step.token || c != nil && (c.Origin != step.origin || c.Profile != step.profile) {
			t.Errorf("%+v, %v; want %s of %s", c, err, step.token, step.origin)
		}
	}
}

func TestTokensOfProfiles(t *testing.T) {
	d, path := in(t)
	if got, err := d.Load("prod"); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := d.Delete("prod"); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"first", "second"} {
		if err := d.Save("prod", text); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Load("prod"); got != text || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if runtime.GOOS != "windows" {
		for name, mode := range map[string]os.FileMode{path: 0o700, filepath.Join(path, "prod"): 0o600} {
			if st, err := os.Stat(name); err != nil || st.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", name, st, err)
			}
		}
		// Another user, or a program of theirs, can have it by now.
		for _, mode := range []os.FileMode{0o640, 0o644, 0o606, 0o622} {
			if err := os.Chmod(filepath.Join(path, "prod"), mode); err != nil {
				t.Fatal(err)
			}
			_, err := Places{Profile: "prod", Dir: d}.Find()
			testkit.WantReason(t, err, fault.ConfigInvalid, "others can read or change the token of profile prod", "chmod 600")
			_, err = d.Load("prod")
			testkit.WantReason(t, err, fault.ConfigInvalid)
		}
	}
	if err := d.Delete("prod"); err != nil {
		t.Error(err)
	}
	if has, err := d.Has("prod"); has || err != nil {
		t.Errorf("%t, %v", has, err)
	}
	// A name is not a path.
	if has, err := d.Has("../tokens/prod"); has || err != nil {
		t.Errorf("%t, %v", has, err)
	}
	nowhere := In(func(string) string { return "" })
	testkit.WantReason(t, nowhere.Save("prod", "x"), fault.ConfigInvalid, "neither HOME nor XDG_STATE_HOME is set")
	if got, err := nowhere.Load("prod"); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTokenCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a Unix shell")
	}
	count := filepath.Join(t.TempDir(), "count")
	c, err := Places{Command: "echo x >> " + count + "; echo a-token"}.Find()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := shown(t, c); got != "a-token" {
			t.Errorf("%q", got)
		}
	}
	if ran, err := os.ReadFile(count); err != nil || string(ran) != "x\n" {
		t.Errorf("it ran for %q, %v", ran, err)
	}
	for line, want := range map[string]string{
		"echo hunter2; exit 3": "did not print a token: exit status 3",
		"true":                 "printed nothing",
		"exec nothing-there":   "did not print a token",
	} {
		c, err := Places{Command: line}.Find()
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context())
		testkit.WantReason(t, err, fault.ConfigInvalid, want)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error has what the command printed: %v", err)
		}
	}
	c, err = Places{Command: "yes | head -c 1000000"}.Find()
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, c); len(got) > maxCommand {
		t.Errorf("%d bytes are kept", len(got))
	}
}
