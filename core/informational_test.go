package core_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// hinting is a service of kind http that sends two informational heads, and then as
// much of an answer as is asked for.
func hinting(body int32) []byte {
	early := abi.AppendField(abi.AppendField(nil, abi.HeadStatus, "103"), "Link", "</style.css>; rel=preload")
	m := w.New()
	head, write := m.Import("ruedo", "head_write", "ii>i"), m.Import("ruedo", "output_write", "ii>i")
	m.Memory(4, 4)
	m.Data(0, early)
	m.Export(abi.MarkerHTTP, m.Func(">"))
	hint := w.Cat(w.CallWith(head, 0, int32(len(early))), w.Drop())
	m.AsFunction(m.Func(">i", hint, hint, w.CallWith(write, 1024, body), w.Drop(), w.I32(0)))
	return m.Bytes()
}

// What a service on a runner says before its answer, such as 103 Early Hints, reaches the
// caller.
func TestInformationalHeadsThroughALane(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	h1 := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(h1.CloseIdleConnections)
	for name, size := range map[string]int32{"whole": 5, "streams": 64 << 10} {
		c.Publish(t, &ruedov1.PublishServiceRequest{Name: name}, hinting(size))
		for version, client := range map[string]*http.Client{"HTTP/1.1": h1, "HTTP/2.0": overHTTP2(t)} {
			var early []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				early = append(early, fmt.Sprint(code, header["Link"]))
				return nil
			}})
			res, n := get(ctx, t, client, c.URL+"/svc/"+name+"/")
			if res.StatusCode != 200 || n != int64(size) || res.Proto != version || (res.ContentLength < 0) != (name == "streams") || res.Header.Get("Link") != "" {
				t.Errorf("%s over %s: %s %s, %d bytes, %v", name, version, res.Proto, res.Status, n, res.Header)
			}
			if want := "103 [</style.css>; rel=preload]"; !slices.Equal(early, []string{want, want}) {
				t.Errorf("%s over %s: got %q before the answer", name, version, early)
			}
		}
	}
}

// get returns an answer and the length of its body.
func get(ctx context.Context, t *testing.T, c *http.Client, url string) (*http.Response, int64) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil {
		t.Error(err)
	}
	return res, n
}
