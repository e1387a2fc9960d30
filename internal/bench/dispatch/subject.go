package dispatch

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ruedo-dev/ruedo/internal/bench/cluster"
	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// subject is a server that answers calls.
type subject struct {
	load.Target
	// before is the same subject of another checkout, if there is one to compare
	// with.
	before *subject
}

func newSubject(name, url, path, body, want string, processes ...*process.Process) *subject {
	return &subject{Target: load.Target{Name: name, URL: url, Requests: [][]byte{load.Post(path, body)}, Want: want, Processes: processes}}
}

const payload = `{"name":"Ada"}`

// startSubjects starts every process; stop ends them all. The directory of another
// checkout adds the subjects of its binary.
func startSubjects(ctx context.Context, against string) (subjects []*subject, stop func(), err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, nil, err
	}
	g := process.NewGroup(ctx)
	stop = func() {
		g.Stop()
		_ = os.RemoveAll(dir)
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	echo, echoProcess, err := g.Serve("http-echo", "")
	if err != nil {
		return nil, nil, err
	}
	far, farProcess, err := g.Serve("connect-echo", "")
	if err != nil {
		return nil, nil, err
	}
	near, nearProcess, err := g.Serve("connect-proxy", far)
	if err != nil {
		return nil, nil, err
	}
	subjects = []*subject{
		newSubject("A1", echo, "/call/echo", payload, payload, echoProcess),
		newSubject("C1", near, invokePath, invokeBody(), "bytes", nearProcess, farProcess),
	}
	here, err := filepath.Abs("../..")
	if err != nil {
		return nil, nil, err
	}
	ours, err := startRuedo(ctx, g, here, filepath.Join(dir, "here"))
	if err != nil {
		return nil, nil, err
	}
	if against != "" {
		theirs, err := startRuedo(ctx, g, against, filepath.Join(dir, "there"))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", against, err)
		}
		for i, s := range ours {
			s.before = theirs[i]
		}
	}
	return append(subjects, ours...), stop, nil
}

const invokePath = "/ruedo.v1.InvokeService/Invoke"

func invokeBody() string {
	return fmt.Sprintf(`{"service":"echo","bytes":%q}`, base64.StdEncoding.EncodeToString([]byte(payload)))
}

// startRuedo builds the checkout at root, starts its server and a runner, and
// publishes. It keeps its files in dir.
func startRuedo(ctx context.Context, g *process.Group, root, dir string) ([]*subject, error) {
	r, err := cluster.Start(ctx, g, root, dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.Publish("echo", ruedotest.Echo()), r.PublishDir(filepath.Join(root, "examples", "greet"))); err != nil {
		return nil, err
	}
	return []*subject{
		newSubject("echo", r.URL, "/call/echo", payload, payload, r.Processes...),
		newSubject("echo-connect", r.URL, invokePath, invokeBody(), "bytes", r.Processes...),
		newSubject("greet", r.URL, "/call/greet", payload, "Ada", r.Processes...),
	}, nil
}
