package credential

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// finder returns a finder with settings, and the profile prod in a directory of its own.
func finder(t *testing.T, set settings.Settings, p profile.Profile) (Finder, *profile.Profile, string) {
	t.Helper()
	home := t.TempDir()
	f := Finder{Settings: &set, Getenv: func(name string) string { return map[string]string{"HOME": home}[name] }}
	p.Name, p.Hosts = "prod", []string{"https://core-1:7833"}
	dir := profile.In(f.Getenv)
	if err := dir.Save(&p); err != nil {
		t.Fatal(err)
	}
	loaded, err := dir.Load("prod")
	if err != nil {
		t.Fatal(err)
	}
	return f, loaded, filepath.Join(home, ".config", "ruedo", "profiles")
}

// Settings count more than a profile, and a process has a certificate of its own.
func TestWhichCertificateIsShown(t *testing.T) {
	set := settings.Settings{
		Client: settings.Client{CertFile: "client.pem", KeyFile: "client.key"},
		TLS:    settings.TLS{CertFile: "core.pem", KeyFile: "core.key"},
	}
	f, p, dir := finder(t, set, profile.Profile{CertificateFile: "ada.pem", PrivateKeyFile: "/keys/ada.key"})
	ofProfile := Files{filepath.Join(dir, "ada.pem"), "/keys/ada.key"}
	want := func(what string, got, want Files) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	want("the settings", f.Certificate(p), Files{"client.pem", "client.key"})
	want("the profile alone", f.KeptCertificate(p), ofProfile)
	f.Settings.Client = settings.Client{}
	want("the profile", f.Certificate(p), ofProfile)
	want("that of a core is not a user's", f.Certificate(nil), Files{})
	f.Process = true
	want("that of a process", f.Certificate(nil), Files{"core.pem", "core.key"})
	f.Settings.TLS = settings.TLS{}
	want("none", f.Certificate(nil), Files{})
	if here, err := filepath.Abs("a.pem"); err != nil || (Files{Certificate: "a.pem"}).Absolute() != (Files{Certificate: here}) {
		t.Error(here, err)
	}
	if cfg, err := (Files{}).On(nil); cfg != nil || err != nil {
		t.Error(cfg, err)
	}
	_, err := Files{Certificate: "only.pem"}.On(nil)
	testkit.WantReason(t, err, fault.ConfigInvalid, "the client certificate has only one of its two files")
}

func TestWhichAuthorityIsBelieved(t *testing.T) {
	own, other := pkitest.NewAuthority(t), pkitest.NewAuthority(t)
	file := pkitest.CAFile(t, other)
	for name, c := range map[string]struct {
		set     settings.TLS
		profile profile.Profile
		pick    func(*profile.Profile) *profile.Profile
		want    *pki.Authority
	}{
		"of the profile":   {settings.TLS{CAFile: file}, profile.Profile{Authority: pki.PEM(own.Certificate())}, nil, own},
		"of the file":      {settings.TLS{CAFile: file}, profile.Profile{}, nil, other},
		"without profile":  {settings.TLS{CAFile: file}, profile.Profile{Authority: pki.PEM(own.Certificate())}, func(*profile.Profile) *profile.Profile { return nil }, other},
		"of nobody but it": {settings.TLS{}, profile.Profile{}, nil, nil},
	} {
		f, p, _ := finder(t, settings.Settings{TLS: c.set}, c.profile)
		if c.pick != nil {
			p = c.pick(p)
		}
		cfg, err := f.Authority(p, nil)
		if err != nil || (cfg == nil) != (c.want == nil) {
			t.Fatalf("%s: %v, %v", name, cfg, err)
		}
		for _, a := range []*pki.Authority{own, other} {
			if cfg != nil && believes(t, cfg, a) != (a == c.want) {
				t.Errorf("%s: another authority is believed", name)
			}
		}
	}
}

// believes reports whether a client with a configuration believes a core of an authority.
func believes(t *testing.T, cfg *tls.Config, a *pki.Authority) bool {
	t.Helper()
	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{a} }, Core: "core-1"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", pki.Server(pki.ServerConfig{Leaves: leaves}))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			_ = c.(*tls.Conn).HandshakeContext(t.Context())
			_ = c.Close()
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), cfg)
	if err == nil {
		_ = c.Close()
	}
	<-done
	return err == nil
}

// Whoever can change a profile can choose where its token goes.
func TestATokenOfAProfileThatOthersCanChange(t *testing.T) {
	f, p, dir := finder(t, settings.Settings{}, profile.Profile{})
	if err := In(f.Getenv).Save("prod", "of-profile"); err != nil {
		t.Fatal(err)
	}
	for _, find := range []func(*profile.Profile) (*Credential, error){f.Token, f.Kept} {
		if c, err := find(p); err != nil || c.Profile != "prod" {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := find(nil); err != nil || c != nil {
			t.Errorf("without a profile: %+v, %v", c, err)
		}
	}
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	if err := os.Chmod(filepath.Join(dir, "prod.yaml"), 0o622); err != nil {
		t.Fatal(err)
	}
	p, err := profile.In(f.Getenv).Load("prod")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Token(p)
	testkit.WantReason(t, err, fault.ConfigInvalid, "others can change profile prod", "chmod 600")
}
