//go:build unix

package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/same"
)

// hijacking serves h over a fake host that carries upgrades. If streams is set,
// the connection counts as the body of the request.
func hijacking(t *testing.T, h http.Handler, streams bool) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := newFakeHost(t, w, r)
		f.upgrade, f.streams = true, streams
		f.finish(answer(f, h))
	}))
	t.Cleanup(s.Close)
	return s
}

// upgrade returns what a caller of s reads that asks for an upgrade and sends
// text, to the end.
func upgrade(t *testing.T, s *httptest.Server, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n%s", text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"

// shout answers lines in capitals.
func shout(rw *bufio.ReadWriter) {
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = rw.WriteString(strings.ToUpper(line))
		_ = rw.Flush()
	}
}

func TestHijack(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"head written to the connection": func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			// As gorilla does: deadlines, then the head past the buffer.
			if err := c.SetDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
			if n, err := io.WriteString(c, switching); err != nil || n != len(switching) {
				t.Error(n, err)
			}
			shout(rw)
		},
		"head in pieces, with the first bytes": func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for i := range len(switching) - 1 {
				if n, err := io.WriteString(c, switching[i:i+1]); n != 1 || err != nil {
					t.Error(n, err)
				}
			}
			if n, err := io.WriteString(c, "\nFIRST\n"); n != 7 || err != nil {
				t.Error(n, err)
			}
			shout(rw)
		},
		"status before": func(w http.ResponseWriter, _ *http.Request) {
			// As coder does.
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "shout")
			w.WriteHeader(http.StatusSwitchingProtocols)
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			shout(rw)
		},
		"after the handler": func(w http.ResponseWriter, r *http.Request) {
			_ = r.Context().Done() // asked for, so that somebody watches the stream
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
				t.Error(err)
			}
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
				t.Error(err)
			}
			if c.RemoteAddr().String() != r.RemoteAddr || c.LocalAddr().Network() != "tcp" {
				t.Error(c.RemoteAddr(), c.LocalAddr())
			}
			go func() {
				defer c.Close()
				<-r.Context().Done()
				_, _ = io.WriteString(c, switching)
				shout(rw)
			}()
		},
	} {
		for _, streams := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streams %t", name, streams), func(t *testing.T) {
				want := switching
				if strings.Contains(name, "first bytes") {
					want += "FIRST\n"
				}
				if got := upgrade(t, hijacking(t, h, streams), "one\ntwo\n"); got != want+"ONE\nTWO\n" {
					t.Errorf("got %q, want %q and the lines", got, want)
				}
			})
		}
	}
}

func TestHijackRefused(t *testing.T) {
	hijack := func(w http.ResponseWriter, text string) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, err = io.WriteString(c, text)
		w.(*writer).header.Set("X-Seen", fmt.Sprint(err))
	}
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want []string // what the caller reads
	}{
		"an answer that is no upgrade": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nContent-Length: 3\r\n\r\nno\n")
		}, []string{"HTTP/1.1 426 ", "\r\nUpgrade: other\r\n", "\r\nContent-Length: 3\r\n", "\r\n\r\nno\n"}},
		"no hijack": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad key", 400) },
			[]string{"HTTP/1.1 400 ", "bad key"}},
		"not a head": {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "hello\r\n\r\n") },
			[]string{"HTTP/1.1 500 ", "wrote no answer"}},
		"chunked": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		}, []string{"HTTP/1.1 500 ", "wrote no answer"}},
		"a head without an end": {func(w http.ResponseWriter, _ *http.Request) { hijack(w, strings.Repeat("x", maxHead+1)) },
			[]string{"HTTP/1.1 500 ", "wrote no answer"}},
		"after the answer": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "x")
			if _, _, err := w.(http.Hijacker).Hijack(); err != errBegan {
				t.Error(err)
			}
		}, []string{"HTTP/1.1 200 "}},
	} {
		t.Run(name, func(t *testing.T) {
			got := upgrade(t, hijacking(t, c.h, true), "")
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, which lacks %q", got, want)
				}
			}
		})
	}
	got := ask(t, same.Case{Method: "GET", Handle: func(w http.ResponseWriter, _ *http.Request, note same.Note) {
		_, _, err := w.(http.Hijacker).Hijack()
		note("%t", errors.Is(err, errors.ErrUnsupported))
	}}, true)
	if !slices.Equal(got.Notes, []string{"true"}) {
		t.Errorf("a request without an upgrade was hijacked: %v", got.Notes)
	}
}

func FuzzHijackedHead(f *testing.F) {
	f.Add([]byte(switching))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\n" + switching + "bytes"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, parts := &headSink{}, &headSink{}
		a := &hijacked{w: &writer{x: &exchange{host: whole}}}
		b := &hijacked{w: &writer{x: &exchange{host: parts}}}
		restA, errA := a.collect(text)
		var restB []byte
		var errB error
		for i := range text {
			if restB, errB = b.collect(text[i : i+1]); errB != nil || b.began {
				restB = append(restB, text[i+1:]...)
				break
			}
		}
		if (errA == nil) != (errB == nil) || errA == nil && string(restA) != string(restB) || a.began != b.began {
			t.Errorf("%q: whole %q %v, in pieces %q %v", text, restA, errA, restB, errB)
		}
		if errA == nil && string(whole.heads) != string(parts.heads) {
			// The order of fields is that of a map.
			if len(whole.heads) != len(parts.heads) {
				t.Errorf("%q: heads %q, in pieces %q", text, whole.heads, parts.heads)
			}
		}
		if _, err := host.ParseFields(string(whole.heads), nil); err != nil {
			t.Errorf("%q: the head is malformed: %q", text, whole.heads)
		}
	})
}

// headSink is a host that takes heads.
type headSink struct {
	host.Host
	heads []byte
}

func (s *headSink) HeadWrite(head []byte) int32 {
	s.heads = append(s.heads, head...)
	return int32(len(head))
}

func (s *headSink) OutputFlush() int32 { return 0 }
