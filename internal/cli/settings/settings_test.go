package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	r, err := Resolve(Input{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Server.ListenAddress != "127.0.0.1" || r.Server.Port != 7833 || r.Server.DistributedExecution ||
		r.Client.Host != "127.0.0.1:7833" || r.Store.StartTimeout != 30*time.Second || r.Log.Level != "info" ||
		r.Application.ClusterID != "default" || len(r.Store.EtcdHosts) != 0 {
		t.Errorf("defaults are %+v", r.Settings)
	}
	if r.IsSet("server.port") || r.Origin("server.port") != "default" {
		t.Error("a default counts as set")
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "server:\n  port: 1001\n  listen_address: 127.0.0.2\nlog: {level: warn}\nstore:\n  etcd_hosts: [\"a:1\", \"b:2\"]\n  start_timeout: 5s\n")
	env := []string{"RUEDO_SERVER_PORT=1002", "RUEDO_LOG_LEVEL=error", "RUEDO_CONFIG=" + file, "RUEDO_CLIENT_HOST=", "RUEDO_RUNNER_CORES=http://a http://u:secret@b"}
	r, err := Resolve(Input{Env: env, Flags: map[string]Flag{"server.port": {"--port", "1003"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, value, origin string }{
		{"server.port", "1003", "flag --port"},
		{"log.level", "error", "env RUEDO_LOG_LEVEL"},
		{"server.listen_address", "127.0.0.2", "file " + file},
		{"store.etcd_hosts", "a:1 b:2", "file " + file},
		{"store.start_timeout", "5s", "file " + file},
		{"client.host", "127.0.0.1:7833", "default"},
		{"runner.cores", "http://a http://***@b", "env RUEDO_RUNNER_CORES"},
	} {
		i := slices.IndexFunc(r.List(), func(s Setting) bool { return s.Name == tt.name })
		if got := r.List()[i]; got.Value != tt.value || got.Origin != tt.origin {
			t.Errorf("%s is %q from %q, want %q from %q", tt.name, got.Value, got.Origin, tt.value, tt.origin)
		}
	}
	if r.Runner.Cores[1] != "http://u:secret@b" {
		t.Error("masking changed the value itself")
	}
}

func TestFileSearch(t *testing.T) {
	home := t.TempDir()
	xdg := filepath.Join(home, "elsewhere")
	for path, host := range map[string]string{
		filepath.Join(home, ".config", "ruedo", "config.yaml"): "from-home",
		filepath.Join(xdg, "ruedo", "config.yaml"):             "from-xdg",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("client: {host: "+host+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	named := write(t, "client: {host: from-flag}")
	for _, tt := range []struct {
		want string
		in   Input
	}{
		{"from-home", Input{Env: []string{"HOME=" + home}}},
		{"from-xdg", Input{Env: []string{"HOME=" + home, "XDG_CONFIG_HOME=" + xdg}}},
		{"from-flag", Input{Env: []string{"HOME=" + home, "RUEDO_CONFIG=/missing"}, ConfigFile: named}},
	} {
		r, err := Resolve(tt.in)
		if err != nil || r.Client.Host != tt.want {
			t.Errorf("host = %v, %v; want %s", r, err, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		in   Input
		says string
	}{
		{"unknown key", Input{ConfigFile: write(t, "server:\n  prot: 1\n")}, `config.yaml:2: unknown key "prot", did you mean port?`},
		{"unknown section", Input{ConfigFile: write(t, "sever:\n  port: 1\n")}, `config.yaml:1: unknown key "sever", did you mean server?`},
		{"a map for a value", Input{ConfigFile: write(t, "server:\n  port: {a: 1}\n")}, "server.port is expected to be number"},
		{"bad value in the file", Input{ConfigFile: write(t, "server: {port: lots}\n")}, `server.port is "lots": a number is expected (from file `},
		{"missing file by flag", Input{ConfigFile: filepath.Join(dir, "none")}, "no such file or directory (from --config)"},
		{"missing file by env", Input{Env: []string{"RUEDO_CONFIG=/none"}}, "(from RUEDO_CONFIG)"},
		{"a directory", Input{ConfigFile: dir}, "is a directory"},
		{"port", Input{Env: []string{"RUEDO_SERVER_PORT=70000"}}, "a port from 0 to 65535 is expected (from env RUEDO_SERVER_PORT)"},
		{"port of a service link", Input{Env: []string{"RUEDO_SERVER_PORT=tcp://10.0.0.1:7833"}}, "enableServiceLinks"},
		{"mode", Input{Env: []string{"RUEDO_APPLICATION_MODE=sever"}}, "one of local, client, server, runner is expected"},
		{"bool", Input{Env: []string{"RUEDO_SERVER_DISTRIBUTED_EXECUTION=perhaps"}}, "true or false is expected"},
		{"duration", Input{Env: []string{"RUEDO_STORE_START_TIMEOUT=30"}}, "a duration such as 30s is expected"},
		{"no wait at all", Input{Env: []string{"RUEDO_SERVER_QUEUE_TIMEOUT=0s"}}, "a duration from 1ms to 10m is expected"},
		{"a delay of an hour", Input{Env: []string{"RUEDO_SERVER_SHUTDOWN_DELAY=1h"}}, "a duration from 0s to 10m is expected"},
		{"a job without a pause", Input{Env: []string{"RUEDO_COLLECT_INTERVAL=0s"}}, "a duration from 1s to 8760h is expected"},
		{"an age of a century", Input{Env: []string{"RUEDO_COLLECT_MODULE_AGE=876000h"}}, "a duration from 0s to 87600h is expected"},
		{"no revisions at all", Input{Env: []string{"RUEDO_COLLECT_REVISIONS=0"}}, "a number from 1 to 1000000000 is expected"},
		{"a wait of a day", Input{Env: []string{"RUEDO_SERVER_QUEUE_TIMEOUT=24h"}}, "a duration from 1ms to 10m is expected"},
		{"cluster", Input{Env: []string{"RUEDO_APPLICATION_CLUSTER_ID=Team/2"}}, "lower-case letters"},
		{"hosts with commas", Input{Env: []string{"RUEDO_STORE_ETCD_HOSTS=a:1,b:2"}}, "separated by spaces"},
		{"hosts with a scheme", Input{Env: []string{"RUEDO_STORE_ETCD_HOSTS=http://a:1"}}, "without a scheme"},
		{"hosts without port", Input{Env: []string{"RUEDO_STORE_ETCD_HOSTS=a"}}, "host:port is expected"},
		{"scheme", Input{Env: []string{"RUEDO_CLIENT_HOST=ftp://a"}}, "http or https"},
		{"scheme of one of several cores", Input{Env: []string{"RUEDO_CLIENT_HOSTS=a, ftp://b c"}}, `"ftp://b": host, host:port or a URL with http or https is expected (from env RUEDO_CLIENT_HOSTS)`},
		{"empty cores", Input{Env: []string{"RUEDO_CLIENT_HOSTS= , "}}, "client.hosts is \" , \": a core is expected"},
		{"empty cores in the file", Input{ConfigFile: write(t, "client: {hosts: [\"\", \" \"]}")}, "a core is expected"},
		{"too many cores", Input{Env: []string{"RUEDO_CLIENT_HOSTS=" + manyCores()}}, "33 cores are too many, the limit is 32"},
		{"secret in one of several cores", Input{Env: []string{"RUEDO_CLIENT_HOSTS=a ftp://user:pass@b"}}, "\"ftp://***@b\": host"},
		{"secret in a bad value", Input{Env: []string{"RUEDO_CLIENT_HOST=ftp://user:pass@a"}}, "ftp://***@a"},
		{"flag", Input{Flags: map[string]Flag{"runner.concurrency": {"--concurrency", "-1"}}}, "(from flag --concurrency)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Resolve(tt.in)
			if !errors.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("err = %v\nwant CONFIG_INVALID and %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "pass") {
				t.Error("a secret is in the message")
			}
		})
	}
}

func manyCores() string {
	var list []string
	for i := range 33 {
		list = append(list, fmt.Sprintf("core-%d", i))
	}
	return strings.Join(list, ",")
}

func TestUnknownNames(t *testing.T) {
	r, err := Resolve(Input{Env: []string{
		"RUEDO_SERVR_PORT=1", "RUEDO_SERVER_PROT=1", "RUEDO_WHATEVER=1",
		// What Kubernetes adds for services named ruedo and ruedo-core.
		"RUEDO_SERVICE_HOST=10.0.0.1", "RUEDO_SERVICE_PORT=7833", "RUEDO_PORT=tcp://10.0.0.1:7833", "RUEDO_SERVICE_PORT_HTTP=1",
		"RUEDO_PORT_7833_TCP=tcp://10.0.0.1:7833", "RUEDO_CORE_PORT_7833_TCP_ADDR=10.0.0.1",
		"OTHER=1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"unknown environment variable RUEDO_SERVER_PROT (did you mean RUEDO_SERVER_PORT?)",
		"unknown environment variable RUEDO_SERVR_PORT (did you mean RUEDO_SERVER_PORT?)",
		"unknown environment variable RUEDO_WHATEVER",
	}
	if !slices.Equal(r.Warnings, want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(r.Warnings, "\n"), strings.Join(want, "\n"))
	}
}

func TestTable(t *testing.T) {
	key := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, e := range Table() {
		if !key.MatchString(e.Key) || e.Help == "" || !strings.HasSuffix(e.Help, ".") {
			t.Errorf("%s: key or help do not fit: %q", e.Name, e.Help)
		}
		if e.Default != "" {
			var s Settings
			if err := e.set(&s, e.Default); err != nil {
				t.Errorf("%s: its default is refused: %v", e.Name, err)
			}
		}
	}
}
