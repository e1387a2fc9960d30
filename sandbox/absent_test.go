package sandbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sandbox"
)

// A call that failed and asked for what no guest has says so in its logs. One that
// succeeded says nothing, and neither does a failure for another reason.
func TestLogsSayWhatAGuestCannotHave(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: guest(t, "function")})
	for name, tt := range map[string]struct {
		input string
		want  []string
	}{
		"a file":                  {`{"do":"open","text":"/etc/app.yaml","n":5}`, []string{"/etc/app.yaml: a service has no files"}},
		"a file that is optional": {`{"do":"open","text":"/etc/app.yaml"}`, nil},
		"a zone":                  {`{"do":"fail","n":2,"text":"unknown time zone Europe/Berlin"}`, []string{"a service has no files, so no time zone but UTC"}},
		"files of a library":      {`{"do":"open","text":"/usr/share/zoneinfo/Europe/Berlin","n":5}`, nil},
		"types of files":          {`{"do":"open","text":"/etc/mime.types","n":5}`, nil},
		"a datagram":              {`{"do":"fail","n":14,"text":"write udp 127.0.0.1:1->192.0.2.1:80: write: Connection reset by peer"}`, []string{"a service has no network"}},
		"the name of a host":      {`{"do":"open","text":"/etc/resolv.conf","n":14}`, []string{"a service has no network"}},
		"a connection":            {`{"do":"fail","n":14,"text":"dial tcp 192.0.2.1:80: connect: Connection refused"}`, []string{"a service has no network"}},
		"a program":               {`{"do":"fail","n":2,"text":"exec: \"ls\": executable file not found in $PATH"}`, []string{"a service cannot start programs"}},
		"something else":          {`{"do":"fail","n":3,"text":"name is blank"}`, nil},
		"a control character":     {`{"do":"open","text":"/a\u001b[2J","n":5}`, []string{`/a\x1b[2J: a service has no files`}},
	} {
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte(tt.input)})
		var got []string
		for line := range strings.Lines(string(res.Logs)) {
			got = append(got, line)
		}
		ok := len(got) == len(tt.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], "WARN sandbox: "+tt.want[i]) && strings.HasSuffix(got[i], "\n")
		}
		if !ok {
			t.Errorf("%s: %q (%v), want %q", name, got, err, tt.want)
		}
	}
}

// The last file counts, and a call knows nothing of the one before it.
func TestACallExplainsItsOwnFailure(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: guest(t, "function")})
	for i := range 3 {
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: fmt.Appendf(nil, `{"do":"open","text":"/file-%d","n":5}`, i)})
		if err == nil || strings.Count(string(res.Logs), "WARN") != 1 || !strings.Contains(string(res.Logs), fmt.Sprintf("/file-%d: ", i)) {
			t.Errorf("%v: %q", err, res.Logs)
		}
	}
	if res, _ := tpl.Call(t.Context(), sandbox.Request{Input: []byte(`{"do":"fail","n":3,"text":"no"}`)}); len(res.Logs) != 0 {
		t.Errorf("%q", res.Logs)
	}
}
