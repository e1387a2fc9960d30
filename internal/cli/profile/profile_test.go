package profile

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func in(t *testing.T) (dir Dir, path string) {
	t.Helper()
	path = t.TempDir()
	return In(func(name string) string { return map[string]string{"XDG_CONFIG_HOME": path}[name] }), path
}

func TestTheLifeOfAProfile(t *testing.T) {
	d, path := in(t)
	if used, err := d.InUse(); used != "" || err != nil {
		t.Errorf("%q is in use, %v", used, err)
	}
	want := Profile{Name: "prod", Hosts: []string{"a:1", "https://b"}, ClusterID: "blue"}
	if err := d.Create(&want); err != nil {
		t.Fatal(err)
	}
	got, err := d.Load("prod")
	if err != nil || got.Name != "prod" || !slices.Equal(got.Hosts, want.Hosts) || got.ClusterID != "blue" || got.Warning != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	testkit.WantReason(t, d.Create(&want), fault.AlreadyExists, "a profile prod already")
	if err := d.Use("prod"); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"profile", "profiles/prod.yaml"} {
		st, err := os.Stat(filepath.Join(path, "ruedo", file))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, st, err)
		}
	}
	testkit.WantReason(t, d.Use("lab"), fault.ProfileNotFound, `"lab" (profiles: prod)`)
	if used, err := d.InUse(); used != "prod" || err != nil {
		t.Errorf("%q is in use, %v", used, err)
	}
	if err := d.Delete("prod"); err != nil {
		t.Fatal(err)
	}
	if used, err := d.InUse(); used != "" || err != nil {
		t.Errorf("%q is in use, %v", used, err)
	}
	testkit.WantReason(t, d.Delete("prod"), fault.ProfileNotFound, "there is no profile", "create profile prod")
	if err := d.Use(""); err != nil {
		t.Error(err)
	}
}

// What else is in the directory is no profile, and one that cannot be read does
// not hide the others.
func TestList(t *testing.T) {
	d, path := in(t)
	if list, failed := d.List(); len(list)+len(failed) > 0 {
		t.Errorf("%v, %v", list, failed)
	}
	for _, name := range []string{"b", "a", "c"} {
		if err := d.Create(&Profile{Name: name, Hosts: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"b.yaml": "hosts: 1: 2", "x.yaml~": "", "UP.yaml": "", ".new-1": "", "notes": ""} {
		if err := os.WriteFile(filepath.Join(path, "ruedo", "profiles", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, failed := d.List()
	if len(list) != 2 || list[0].Name != "a" || list[1].Name != "c" || len(failed) != 1 {
		t.Errorf("%v, %v", list, failed)
	}
}

// Many known profiles make no long error.
func TestAnUnknownProfileAmongMany(t *testing.T) {
	d, _ := in(t)
	for i := range 12 {
		if err := d.Create(&Profile{Name: fmt.Sprintf("site-%02d", i), Hosts: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := d.Load("elsewhere")
	testkit.WantReason(t, err, fault.ProfileNotFound, "site-00, site-01", "site-09 and 2 others", "ruedo get profiles")
	_, err = d.Load("site-0")
	testkit.WantReason(t, err, fault.ProfileNotFound, "did you mean site-00?")
}

func TestWithoutAHome(t *testing.T) {
	d := In(func(string) string { return "" })
	if used, err := d.InUse(); used != "" || err != nil {
		t.Errorf("%q, %v", used, err)
	}
	_, err := d.Load("a")
	testkit.WantReason(t, err, fault.ProfileNotFound)
	testkit.WantReason(t, d.Create(&Profile{Name: "a", Hosts: []string{"a"}}), fault.ConfigInvalid, "neither HOME nor XDG_CONFIG_HOME is set")
}

// Nobody reads half of a file.
func TestProfilesAreReplacedAsAWhole(t *testing.T) {
	d, _ := in(t)
	for _, name := range []string{"a", "b"} {
		if err := d.Create(&Profile{Name: name, Hosts: []string{strings.Repeat(name, 100)}}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				if err := d.Use([]string{"a", "b"}[(i+n)%2]); err != nil {
					t.Error(err)
				}
				if used, err := d.InUse(); err != nil || used != "a" && used != "b" {
					t.Errorf("%q, %v", used, err)
				}
			}
		})
	}
	wg.Wait()
}

// A profile says which authority its cluster has, or where that is.
func TestTheAuthorityOfAProfile(t *testing.T) {
	d, path := in(t)
	a, err := pki.New("blue", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text := pki.PEM(a.Certificate())
	if err := os.WriteFile(filepath.Join(path, "ca.pem"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, authority := range map[string]string{"inline": text, "absolute": filepath.Join(path, "ca.pem"), "relative": "../../ca.pem"} {
		if err := d.Create(&Profile{Name: name, Hosts: []string{"https://a"}, User: "ada", Authority: authority}); err != nil {
			t.Fatal(err)
		}
		p, err := d.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := d.Authorities(p)
		if err != nil || len(certs) != 1 || !certs[0].Equal(a.Certificate()) || p.OwnsAuthority() != (name == "inline") || p.User != "ada" {
			t.Errorf("%s: %d certificates, %v, %+v", name, len(certs), err, p)
		}
	}
	if certs, err := d.Authorities(&Profile{Name: "none"}); len(certs) != 0 || err != nil {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	_, err = d.Authorities(&Profile{Name: "x", Authority: "nowhere.pem"})
	testkit.WantReason(t, err, fault.ConfigInvalid, "nowhere.pem cannot be read")
	_, err = d.Authorities(&Profile{Name: "x", Authority: "-----BEGIN CERTIFICATE-----\n"})
	testkit.WantReason(t, err, fault.ConfigInvalid, "x.yaml: authority: there is no PEM certificate")
}

// Whoever can change a profile can choose where its token goes.
func TestAProfileThatOthersCanChange(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	d, path := in(t)
	if err := d.Create(&Profile{Name: "prod", Hosts: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o644: false, 0o620: true, 0o602: true} {
		if err := os.Chmod(filepath.Join(path, "ruedo", "profiles", "prod.yaml"), mode); err != nil {
			t.Fatal(err)
		}
		p, err := d.Load("prod")
		if err != nil || p.Changeable != want {
			t.Errorf("%04o: %+v, %v", mode, p, err)
		}
	}
}
