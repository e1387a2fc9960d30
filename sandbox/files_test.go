package sandbox_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/sandbox"
)

// TestDescriptors asks for the streams, for the empty directory and for what
// does not exist. The streams are what they are to the runtime: block devices.
func TestDescriptors(t *testing.T) {
	c, wasm := newCaller()
	tpl := load(t, sandbox.Spec{Wasm: wasm})
	const out = 1024
	const ok, badf, inval, isdir, noent, notsup, rofs, notcapable = 0, 8, 28, 31, 44, 58, 69, 76
	// The caller's record lies at 65536: its arguments, 8 bytes each, follow the
	// first byte, so an argument that is not used otherwise can hold a path.
	path := func(s string) uint64 {
		var v uint64
		for i := range len(s) {
			v |= uint64(s[i]) << (8 * i)
		}
		return v
	}
	open := func(fd uint64, p string, flags uint64) []byte {
		return c.call("path_open", fd, 0, 65536+1+8*6, uint64(len(p)), flags, 2, path(p), 0, out)
	}
	for _, tt := range []struct {
		name string
		call []byte
		want int64
	}{
		{"the directory is open", c.call("fd_prestat_get", 3, out), ok},
		{"and no other one", c.call("fd_prestat_get", 4, out), badf},
		{"its name", c.call("fd_prestat_dir_name", 3, out, 1), ok},
		{"a missing file", open(3, "app.conf", 0), noent},
		{"a missing file in a missing directory", open(3, "etc/a", 0), noent},
		{"a new file", open(3, "new", 1), rofs},
		{"above it", open(3, "../a", 0), notcapable},
		{"an absolute path", open(3, "/a", 0), notcapable},
		{"itself", open(3, ".", 2), ok},
		{"itself, to write", open(3, ".", 1), isdir},
		{"in a stream", open(0, "a", 0), badf},
		{"a NUL", open(3, "a\x00b", 0), inval},
		{"reading it", c.call("fd_read", 3, 0, 1, out), isdir},
		{"writing to it", c.call("fd_write", 3, 0, 1, out), badf},
		{"its entries", c.call("fd_readdir", 3, out, 100, 0, out+200), ok},
		{"closing it", c.call("fd_close", 3), ok},
		{"it is still there", c.call("fd_filestat_get", 3, out), ok},
		{"stdout", c.call("fd_fdstat_get", 1, out), ok},
		{"closing stdout", c.call("fd_close", 1), notsup},
		{"nothing", c.call("fd_fdstat_get", 4, out), badf},
		{"a socket to receive from", c.call("sock_recv", 5, 0, 1, 0, out, out), badf},
		{"a socket to send to", c.call("sock_send", 5, 0, 1, 0, out), badf},
		{"a clock that does not exist", c.call("clock_time_get", 4, 0, out), inval},
	} {
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: tt.call})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := results(res.Output); !slices.Equal(got, []int64{tt.want}) {
			t.Errorf("%s: %v, want %d", tt.name, got, tt.want)
		}
	}
}

// TestProcessorClocks computes between two looks at each clock of the guest's
// processor time, which begins at 0 with each call and does not advance while
// the guest sleeps.
func TestProcessorClocks(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: processorClocks(), Limits: sandbox.Limits{Timeout: time.Minute}})
	for range 2 {
		res, err := tpl.Call(t.Context(), sandbox.Request{})
		if err != nil {
			t.Fatal(err)
		}
		got := results(res.Output)
		if len(got) != 4 {
			t.Fatalf("got %v", got)
		}
		for i, name := range []string{"process", "thread"} {
			first, second := time.Duration(got[2*i]), time.Duration(got[2*i+1])
			if first < 0 || second <= first || second > res.CPU || second%(100*time.Microsecond) != 0 {
				t.Errorf("clock of the %s: %s, then %s; the call used %s", name, first, second, res.CPU)
			}
		}
	}
}
