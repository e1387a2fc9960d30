package lane_test

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
)

// upgraded is the form of the lanes of a test: a connection of their own, or a stream
// over HTTP/2.
var upgraded bool

// forms runs all tests twice, once for each form.
type forms struct{ m *testing.M }

func (f forms) Run() (code int) {
	for _, upgraded = range []bool{true, false} {
		if code = max(code, f.m.Run()); code != 0 {
			break
		}
	}
	return code
}

// way is a way to a core that leads to the form of the test.
func way() *upgrade.Way {
	w := new(upgrade.Way)
	if !upgraded {
		w.Shut()
	}
	return w
}

// client sends the requests of a runner that is not of this package, which opens lanes of
// the form of the test.
func client(t *testing.T) connect.HTTPClient {
	one, two := transport(t), transport(t)
	one.Protocols.SetHTTP1(true)
	two.Protocols.SetUnencryptedHTTP2(true)
	return opener{one: &http.Client{Transport: one}, two: &http.Client{Transport: two}}
}

func transport(t *testing.T) *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

type opener struct{ one, two *http.Client }

func (o opener) Do(req *http.Request) (*http.Response, error) {
	if !upgraded || req.URL.Path != runnerv1connect.RunnerServiceAttachProcedure {
		return o.two.Do(req)
	}
	u := &upgrade.Client{Next: o.one, Patience: 10 * time.Second}
	res, err := u.Do(req)
	if err == nil {
		context.AfterFunc(req.Context(), func() { req.Body.Close() })
		go forward(u.Conn(), req.Body)
	}
	return res, err
}

// forward sends the messages of a stream after the first.
func forward(to *upgrade.Conn, from io.ReadCloser) {
	for prefix := make([]byte, 5); ; {
		if _, err := io.ReadFull(from, prefix); err != nil {
			to.Close()
			return
		}
		message := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
		if _, err := io.ReadFull(from, message); err != nil || to.Send(message) != nil {
			return
		}
	}
}
