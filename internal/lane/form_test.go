package lane_test

import (
	"net/http"
	"testing"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade/upgradetest"
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
	one, two := &http.Transport{Protocols: new(http.Protocols)}, &http.Transport{Protocols: new(http.Protocols)}
	one.Protocols.SetHTTP1(true)
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(one.CloseIdleConnections)
	t.Cleanup(two.CloseIdleConnections)
	if upgraded {
		return upgradetest.Client{One: &http.Client{Transport: one}, Two: &http.Client{Transport: two}}
	}
	return &http.Client{Transport: two}
}
