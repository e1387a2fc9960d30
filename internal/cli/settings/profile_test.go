package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// home returns a home directory with the profiles prod, in use, and lab, which
// names no cluster.
func home(t *testing.T) (env string, dir profile.Dir) {
	t.Helper()
	path := t.TempDir()
	dir = profile.In(func(name string) string { return map[string]string{"HOME": path}[name] })
	for _, p := range []*profile.Profile{{Name: "prod", Hosts: []string{"p1", "p2:1"}, ClusterID: "blue"}, {Name: "lab", Hosts: []string{"l1"}}} {
		if err := dir.Create(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := dir.Use("prod"); err != nil {
		t.Fatal(err)
	}
	return "HOME=" + path, dir
}

// Who names the cores decides how much they count; a profile is replaced as a
// whole.
func TestWhichCores(t *testing.T) {
	env, _ := home(t)
	file := write(t, "client: {hosts: [f1, f2]}\napplication: {cluster_id: filed}\n")
	flag := func(name, flag, value string) map[string]Flag { return map[string]Flag{name: {flag, value}} }
	for _, tt := range []struct {
		in                     Input
		hosts, cluster, origin string
	}{
		{Input{}, "127.0.0.1:7833", "", "client.host from default"},
		{Input{ConfigFile: file}, "f1 f2", "filed", "client.hosts from file " + file},
		{Input{Env: []string{env}, ConfigFile: file}, "p1 p2:1", "blue", "profile prod from ruedo use"},
		{Input{Env: []string{env, "RUEDO_PROFILE=lab"}, ConfigFile: file}, "l1", "", "profile lab from env RUEDO_PROFILE"},
		{Input{Env: []string{env, "RUEDO_CLIENT_HOST=e1"}}, "e1", "", "client.host from env RUEDO_CLIENT_HOST"},
		{Input{Env: []string{env, "RUEDO_CLIENT_HOSTS=e1, e2 e1", "RUEDO_CLIENT_HOST=e3"}}, "e1 e2", "", "client.hosts from env RUEDO_CLIENT_HOSTS"},
		{Input{Env: []string{env, "RUEDO_CLIENT_HOST=e1", "RUEDO_PROFILE=lab"}}, "e1", "", "client.host from env RUEDO_CLIENT_HOST"},
		{Input{Env: []string{env, "RUEDO_CLIENT_HOST=e1"}, Flags: flag("profile", "--profile", "prod")}, "p1 p2:1", "blue", "profile prod from flag --profile"},
		{Input{Env: []string{env}, Flags: flag("client.host", "--host", "x1,x2")}, "x1 x2", "", "client.host from flag --host"},
		{Input{Env: []string{env, "RUEDO_APPLICATION_CLUSTER_ID=green"}}, "p1 p2:1", "green", "profile prod from ruedo use"},
		{Input{Env: []string{env, "RUEDO_APPLICATION_CLUSTER_ID=green"}, Flags: flag("profile", "--profile", "prod")}, "p1 p2:1", "blue", "profile prod from flag --profile"},
		{Input{Env: []string{env}, Flags: flag("application.cluster_id", "--cluster-id", "red")}, "p1 p2:1", "red", "profile prod from ruedo use"},
		{Input{Env: []string{"RUEDO_CLIENT_HOST=e1"}, ConfigFile: file}, "e1", "filed", "client.host from env RUEDO_CLIENT_HOST"},
	} {
		r, err := Resolve(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Target()
		if err != nil || strings.Join(got.Hosts, " ") != tt.hosts || got.ClusterID != tt.cluster || got.Origin != tt.origin || got.Given == strings.HasSuffix(tt.origin, "default") {
			t.Errorf("%v: %+v, %v\nwant %s, cluster %q, %s", tt.in.Env, got, err, tt.hosts, tt.cluster, tt.origin)
		}
		if len(r.Warnings) > 0 || r.Application.ClusterID == "blue" {
			t.Errorf("%v: %q, cluster %s", tt.in.Env, r.Warnings, r.Application.ClusterID)
		}
		got.Hosts[0] = "changed"
		if again, _ := r.Target(); again.Hosts[0] == "changed" {
			t.Error("a caller has changed the settings")
		}
	}
}

// A profile that cannot be used fails the commands that use it, and no others.
func TestAProfileThatCannotBeUsed(t *testing.T) {
	env, dir := home(t)
	at := func(name string) string {
		return filepath.Join(strings.TrimPrefix(env, "HOME="), ".config", "ruedo", name)
	}
	for _, tt := range []struct {
		name, content string
		in            Input
		want          fault.Reason
		says          string
	}{
		{"", "", Input{Env: []string{env, "RUEDO_PROFILE=pord"}}, fault.ProfileNotFound, `there is no profile "pord" (profiles: lab, prod) (from env RUEDO_PROFILE)`},
		{"", "", Input{Env: []string{env}, Flags: map[string]Flag{"profile": {"--profile", "../x"}}}, fault.Usage, "not the name of a profile"},
		{"profiles/prod.yaml", "hosts: [", Input{Env: []string{env}}, fault.ConfigInvalid, "prod.yaml:"},
		{"profiles/prod.yaml", "host: a", Input{Env: []string{env}}, fault.ConfigInvalid, `unknown key "host", did you mean hosts?`},
		{"profiles/prod.yaml", "hosts: []", Input{Env: []string{env}}, fault.ConfigInvalid, "a core is expected"},
		{"profiles/prod.yaml", "hosts: [\"ftp://a\"]", Input{Env: []string{env}}, fault.ConfigInvalid, "http or https"},
		{"profiles/prod.yaml", "hosts: [a]\ncluster_id: Big/One", Input{Env: []string{env}}, fault.ConfigInvalid, "not the id of a cluster"},
		{"profiles/prod.yaml", strings.Repeat("#", 70_000), Input{Env: []string{env}}, fault.ConfigInvalid, "at most 65536 bytes"},
		{"profile", "../../x", Input{Env: []string{env}}, fault.ConfigInvalid, "does not hold the name of a profile"},
		{"profile", "gone", Input{Env: []string{env}}, fault.ProfileNotFound, "(from ruedo use)"},
	} {
		if tt.name != "" {
			if err := os.WriteFile(at(tt.name), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Resolve(tt.in)
		if err != nil {
			t.Fatalf("%s: %v", tt.says, err)
		}
		if _, err = r.Target(); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v\nwant %s and %q", err, tt.want, tt.says)
		}
	}
	if err := dir.Use("lab"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(at("profiles/lab.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Resolve(Input{Env: []string{env}})
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "others can read or change profile lab (mode 0644): chmod 600 ") {
		t.Errorf("%q, %v", r.Warnings, err)
	}
	if got, err := r.Target(); err != nil || got.Hosts[0] != "l1" {
		t.Errorf("%v, %v", got, err)
	}
}
