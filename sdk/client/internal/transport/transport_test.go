package transport_test

import (
	"net/http"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk/client/internal/cores"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/transport"
)

// A proxy cannot reach the sockets of this machine.
func TestSocketsHaveNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	list, err := cores.Parse("http://192.0.2.2:7833 unix:/run/ruedo/core-7833.sock")
	if err != nil {
		t.Fatal(err)
	}
	tr := transport.New(list, nil)
	for i, proxied := range []bool{true, false} {
		proxy, err := tr.Proxy(&http.Request{URL: list[i].URL})
		if err != nil || (proxy != nil) != proxied {
			t.Errorf("%s: the proxy is %v, %v", list[i], proxy, err)
		}
	}
}
