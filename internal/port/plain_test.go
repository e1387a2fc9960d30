package port_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// Plain calls over HTTP/1.1 need no net/http by any door. A connection with another
// request goes to net/http, and stays there.
func TestPlainCallsComeThroughTheFront(t *testing.T) {
	d := open(t, port.Config{}, func(s *port.Server) {
		s.HandlePlain("/call/", "call", access.Own(), port.Bounds{Weight: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprintln(w, servedBy(w), r.URL, string(b), err)
		}))
	})
	d.each(t, func(t *testing.T, client *http.Client, url, _ string, h2 bool) {
		plain := "front"
		if h2 {
			plain = "net/http"
		}
		for _, call := range []struct{ path, by string }{
			{"/call/a", plain}, {"/call/a", plain}, {"/call/a?b", "net/http"}, {"/call/a", "net/http"},
		} {
			res, err := client.Post(url+call.path, "text/plain", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if want := call.by + " " + call.path + " abc <nil>\n"; string(b) != want {
				t.Errorf("%s, want %s", b, want)
			}
		}
	})
}

// servedBy says who serves a request.
func servedBy(w http.ResponseWriter) string {
	if _, ok := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(interface{ Last() }); ok {
		return "front"
	}
	return "net/http"
}

// procedure answers calls of Connect: with an error, with what it was sent, or, if that is
// a number, with as many bytes.
type procedure struct{}

func (procedure) Invoke(ctx context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	n := 0
	switch req.GetService() {
	case "fails":
		return nil, fault.New(fault.ServiceNotFound, "there is no such service").With("service", "x").WithFix("publish it")
	case "panics":
		panic("no")
	case "waits":
		<-ctx.Done()
		return nil, fault.FromError(ctx.Err())
	case "long":
		n = 200 << 10
	}
	return &ruedov1.InvokeResponse{Payload: &ruedov1.InvokeResponse_Bytes{Bytes: append(make([]byte, n), req.GetBytes()...)}}, nil
}

// A procedure of Connect answers by a front as by net/http, in whatever form it is called.
func TestAProcedureAnswersThroughTheFrontAsThroughNetHTTP(t *testing.T) {
	d := open(t, port.Config{}, func(s *port.Server) {
		s.Connect(port.Bounds{Message: 1 << 10, Weight: 8, Plain: true}, func(opts ...connect.HandlerOption) (string, http.Handler) {
			path, h := ruedov1connect.NewInvokeServiceHandler(procedure{}, opts...)
			return path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Served", servedBy(w))
				h.ServeHTTP(w, r)
			})
		}, nil)
	})
	client, url := d.through(t, "tcp", false)
	random := regexp.MustCompile(` |"value":"[^"]*"|01[0-9A-Z]{24}`) // protobuf's encodings are, and so are ids
	post := func(body string, fields ...string) (by, answer string) {
		r, err := http.NewRequest(http.MethodPost, url+ruedov1connect.InvokeServiceInvokeProcedure, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		client.CloseIdleConnections() // one that went to net/http stays there
		res, err := client.Do(r)
		if err != nil {
			return "", err.Error()
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		var out strings.Builder
		for _, name := range slices.Sorted(maps.Keys(res.Header)) {
			if name != "Served" && name != "Date" && name != "Content-Length" {
				fmt.Fprintln(&out, name, res.Header[name])
			}
		}
		fmt.Fprintln(&out, res.Status, err, string(random.ReplaceAll(b, nil)))
		return res.Header.Get("Served"), out.String()
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, `{"service":"echo","bytes":"YWJj"}`)
	_ = z.Close()
	for name, call := range map[string][]string{ // a body and fields
		"an answer":                     {`{"service":"echo","bytes":"YWJj"}`},
		"protobuf":                      {"\n\x04echo\x1a\x03abc", "Content-Type", "application/proto"},
		"a version":                     {`{"service":"echo"}`, "Connect-Protocol-Version", "1"},
		"another version":               {`{"service":"echo"}`, "Connect-Protocol-Version", "2"},
		"an error":                      {`{"service":"fails"}`},
		"an error in protobuf":          {"\n\x05fails", "Content-Type", "application/proto"},
		"a panic":                       {`{"service":"panics"}`},
		"a deadline":                    {`{"service":"waits"}`, "Connect-Timeout-Ms", "20"},
		"a deadline that is none":       {`{"service":"echo"}`, "Connect-Timeout-Ms", "x"},
		"a long answer":                 {`{"service":"long"}`, "Accept-Encoding", "identity"},
		"a long answer compressed":      {`{"service":"long"}`, "Accept-Encoding", "gzip"},
		"a compressed message":          {packed.String(), "Content-Encoding", "gzip"},
		"what is not compressed":        {"abc", "Content-Encoding", "gzip"},
		"an unknown compression":        {"abc", "Content-Encoding", "x"},
		"a message that is none":        {`{`},
		"a field that is unknown":       {`{"x":1}`},
		"no message":                    {``},
		"a message that is long":        {`{"bytes":"` + strings.Repeat("YWJj", 1<<10) + `"}`},
		"a message too long to be read": {`{"bytes":"` + strings.Repeat("YWJj", 7<<10) + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			by, plain := post(call[0], call[1:]...)
			if by == "net/http" {
				t.Error("net/http has served it")
			}
			by, odd := post(call[0], append(call[1:], "Pragma", "x")...)
			if by == "front" {
				t.Error("the front has served what is not plain")
			}
			if plain != odd {
				t.Errorf("the front answers\n%.500s\nand net/http\n%.500s", plain, odd)
			}
		})
	}
}
