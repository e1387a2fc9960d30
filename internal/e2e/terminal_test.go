//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// terminal is where a user works: a directory, an environment and a cluster.
type terminal struct {
	t   *testing.T
	dir string
	env []string
	url string
}

// cd returns a terminal in a directory below, for a subtest.
func (term terminal) cd(t *testing.T, dir string) terminal {
	term.t, term.dir = t, filepath.Join(term.dir, dir)
	return term
}

// ruedo runs a command of Ruedo.
func (term terminal) ruedo(args ...string) answer {
	term.t.Helper()
	return term.run(binary(term.t, "ruedo"), args...)
}

// run runs a program. It is killed after two minutes.
func (term terminal) run(program string, args ...string) answer {
	term.t.Helper()
	ctx, cancel := context.WithTimeout(term.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = term.dir, term.env, time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || ctx.Err() != nil {
		term.t.Fatalf("%s %s: %v %v\n%s", filepath.Base(program), strings.Join(args, " "), err, ctx.Err(), tail(errOut.String(), 4000))
	}
	return answer{
		t: term.t, of: filepath.Base(program) + " " + tail(strings.Join(args, " "), 300),
		out: out.String(), talk: errOut.String(), code: cmd.ProcessState.ExitCode(),
	}
}

// write writes a file into the directory.
func (term terminal) write(name, content string) {
	term.t.Helper()
	if err := os.WriteFile(filepath.Join(term.dir, name), []byte(content), 0o600); err != nil {
		term.t.Fatal(err)
	}
}

// edit replaces text in a file, where it stands exactly once.
func (term terminal) edit(name, old, new string) {
	term.t.Helper()
	b, err := os.ReadFile(filepath.Join(term.dir, name))
	if err != nil {
		term.t.Fatal(err)
	}
	if n := strings.Count(string(b), old); n != 1 {
		term.t.Fatalf("%s has %q %d times", name, old, n)
	}
	term.write(name, strings.Replace(string(b), old, new, 1))
}

// answer is what a command printed, and how it exited.
type answer struct {
	t         *testing.T
	of        string
	out, talk string
	code      int
}

// ok checks that the command succeeded and that stdout or stderr has each text.
func (a answer) ok(says ...string) answer {
	a.t.Helper()
	return a.exits(0, says...)
}

// exits checks the exit code, and that stdout or stderr has each text.
func (a answer) exits(code int, says ...string) answer {
	a.t.Helper()
	if a.code != code {
		a.t.Errorf("%s: exit code %d, want %d\n%s%s", a.of, a.code, code, tail(a.out, 2000), tail(a.talk, 4000))
		return a
	}
	for _, text := range says {
		if !strings.Contains(a.out, text) && !strings.Contains(a.talk, text) {
			a.t.Errorf("%s: does not say %q:\n%s%s", a.of, text, tail(a.out, 2000), tail(a.talk, 4000))
		}
	}
	return a
}

// reply is the answer to an HTTP request.
type reply struct {
	t      *testing.T
	of     string
	status int
	header http.Header
	body   string
}

// form is the content type that curl -d sends.
const form = "application/x-www-form-urlencoded"

// post sends what `curl -H 'Content-Type: …' --data-binary …` sends.
func (term terminal) post(path, contentType, body string) reply {
	term.t.Helper()
	req, err := http.NewRequestWithContext(term.t.Context(), http.MethodPost, term.url+path, strings.NewReader(body))
	if err != nil {
		term.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Ruedo-Logs", "1")
	return term.send(req)
}

// get sends what `curl` sends without a body.
func (term terminal) get(path string) reply {
	term.t.Helper()
	req, err := http.NewRequestWithContext(term.t.Context(), http.MethodGet, term.url+path, nil)
	if err != nil {
		term.t.Fatal(err)
	}
	return term.send(req)
}

func (term terminal) send(req *http.Request) reply {
	term.t.Helper()
	c := http.Client{Timeout: 2 * time.Minute}
	defer c.CloseIdleConnections()
	res, err := c.Do(req)
	if err != nil {
		term.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		term.t.Fatal(err)
	}
	return reply{t: term.t, of: req.Method + " " + req.URL.Path, status: res.StatusCode, header: res.Header, body: string(b)}
}

// is checks the status, and that the body has each text.
func (r reply) is(status int, says ...string) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Errorf("%s: status %d, want %d: %s", r.of, r.status, status, tail(r.body, 2000))
		return r
	}
	for _, text := range says {
		if !strings.Contains(r.body, text) {
			r.t.Errorf("%s: does not say %s: %s", r.of, text, tail(r.body, 2000))
		}
	}
	return r
}

// decode decodes the body.
func (r reply) decode(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		r.t.Fatalf("%s: %v in %s", r.of, err, tail(r.body, 2000))
	}
}

// sameJSON checks that two texts are the same JSON value.
func sameJSON(t *testing.T, what, got, want string) {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(got), &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Errorf("%s: %v: %s", what, err, tail(got, 2000))
	} else if !reflect.DeepEqual(a, b) {
		t.Errorf("%s is %s, want %s", what, tail(got, 2000), want)
	}
}
