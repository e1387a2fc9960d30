package doctor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// want fails unless there is one check with a level, which says something and, if
// all is not well, what to do.
func want(t *testing.T, checks []*ruedov1.HealthCheck, level ruedov1.HealthLevel, says string) {
	t.Helper()
	if len(checks) != 1 || checks[0].GetLevel() != level || !strings.Contains(checks[0].GetMessage(), says) || (level == ok) != (checks[0].GetFix() == "") {
		t.Errorf("%v: want %v and %q", checks, level, says)
	}
}

func TestThisMachine(t *testing.T) {
	want(t, openFiles(256), bad, "at most 256 open files")
	want(t, openFiles(1024), warning, "fewer than 8,192 connections")
	want(t, openFiles(65536), ok, "at most 65536")
	want(t, openFiles(0), ok, "no limit is known")

	const group = "the control group of this process"
	want(t, memory("", 1<<30, group), warning, "has 1 GiB, and the heap of a core or runner may grow to 2 GiB (the default)")
	want(t, memory("900MiB", 1<<30, group), ok, "900 MiB (GOMEMLIMIT)")
	want(t, memory("off", 1<<30, group), warning, "GOMEMLIMIT")
	want(t, memory("nonsense", 8<<30, group), ok, "the default")
	want(t, memory("", 0, ""), ok, "not known")
	if got := memory("", 1<<30, group)[0].GetFix(); got != "set GOMEMLIMIT=768MiB in its environment" {
		t.Error(got)
	}
}

func TestParseMemory(t *testing.T) {
	for s, bytes := range map[string]uint64{"1": 1, "1B": 1, "2KiB": 2 << 10, "3MiB": 3 << 20, "4GiB": 4 << 30, "1TiB": 1 << 40} {
		if n, ok := parseMemory(s); !ok || n != bytes {
			t.Errorf("%s: %d, %t", s, n, ok)
		}
	}
	for _, s := range []string{"", "x", "-1", "1MB", "99999999TiB", "1.5GiB"} {
		if n, ok := parseMemory(s); ok {
			t.Errorf("%s: %d", s, n)
		}
	}
}

func TestDisks(t *testing.T) {
	dir := t.TempDir()
	got := disk("store", filepath.Join(dir, "not", "there", "yet"))
	if len(got) != 1 || got[0].GetLevel() == bad || !strings.HasPrefix(got[0].GetMessage(), dir+": ") {
		t.Errorf("%v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	want(t, disk("cache", ""), warning, "no directory")
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		want(t, disk("store", dir), bad, "cannot be written")
	}
}

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	want(t, port(t.Context(), "server.port", "127.0.0.1", address.Port), ok, "is in use")
	_ = l.Close()
	want(t, port(t.Context(), "server.port", "127.0.0.1", address.Port), ok, "is free")
	want(t, port(t.Context(), "server.port", "127.0.0.1", 0), ok, "any free one")
	want(t, port(t.Context(), "server.port", "192.0.2.1", 7833), bad, "nothing can listen on 192.0.2.1:7833")
	want(t, portOf(t.Context(), "store.peer_address", "nonsense"), bad, "is no host:port")
	if got := portOf(t.Context(), "store.peer_address", ""); got != nil {
		t.Errorf("%v", got)
	}
}

func TestTheWayToAnEtcd(t *testing.T) {
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	a, b := up.Addr().String(), down.Addr().String()
	if got := store(t.Context(), []string{a}, ""); len(got) != 1 || got[0].GetLevel() == bad || !strings.Contains(got[0].GetMessage(), "1 of 1 hosts of the etcd accept a connection, the slowest within ") {
		t.Errorf("%v", got)
	}
	want(t, store(t.Context(), []string{a, b}, ""), warning, "1 of 2 hosts of the etcd accept a connection: dial tcp "+b)
	want(t, store(t.Context(), []string{b}, ""), bad, "0 of 1 hosts of the etcd accept a connection")
	if got := store(t.Context(), nil, t.TempDir()); len(got) != 1 || got[0].GetName() != "disk of the store" {
		t.Errorf("%v", got)
	}
}

// The sandbox works here, fast or not.
func TestSandbox(t *testing.T) {
	if got := sandbox(); len(got) != 1 || got[0].GetLevel() == bad {
		t.Errorf("%v", got)
	}
}
