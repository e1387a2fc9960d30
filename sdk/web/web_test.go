//go:build !wasip1

package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
)

func init() { Serve(http.NotFoundHandler()) }

func TestServeOnce(t *testing.T) {
	refused := func(want string, serve func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if got := fmt.Sprint(recover()); !strings.Contains(got, want) || !strings.Contains(got, "web_test.go:") {
				t.Errorf("got %q, want %q and a place", got, want)
			}
		}()
		serve()
	}
	refused("the handler is nil", func() { Serve(nil) })
	refused("a service has one handler: web.Serve at ", func() { Serve(http.NotFoundHandler()) })
	if before := entry.Claim("sdk.Handle"); !strings.HasPrefix(before, "web.Serve at ") {
		t.Errorf("a second handler is taken after %q", before)
	}

	s := Test(nil) // the registered one
	defer s.Close()
	res, err := s.Client().Get(s.URL)
	if err != nil || res.StatusCode != 404 {
		t.Fatal(res, err)
	}
	res.Body.Close()
}

func TestCallerInATest(t *testing.T) {
	ctx := WithCaller(t.Context(), "user/ada")
	if Caller(ctx) != "user/ada" || sdk.Caller(ctx) != "user/ada" || Caller(t.Context()) != "" {
		t.Errorf("%q, %q, %q", Caller(ctx), sdk.Caller(ctx), Caller(t.Context()))
	}
}

func TestTestSpeaksBothProtocols(t *testing.T) {
	s := Test(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	defer s.Close()
	for _, h2 := range []bool{false, true} {
		p := new(http.Protocols)
		p.SetHTTP1(!h2)
		p.SetUnencryptedHTTP2(h2)
		tr := &http.Transport{Protocols: p}
		defer tr.CloseIdleConnections()
		res, err := (&http.Client{Transport: tr}).Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]; string(b) != want {
			t.Errorf("got %s, want %s", b, want)
		}
	}
}

func TestNativeNetwork(t *testing.T) {
	s := Test(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") }))
	defer s.Close()
	res, err := (&http.Client{Transport: Transport{}}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	c, err := Dial(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := listen(nil, ""); err == nil || !strings.Contains(err.Error(), "call web.Serve") {
		t.Error(err)
	}
	if err := listen(http.NotFoundHandler(), "256.0.0.1:1"); err == nil {
		t.Error("an address that is none was listened at")
	}
}
