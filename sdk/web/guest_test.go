//go:build unix

package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/same"
)

// dir is for all tests.
var dir string

func TestMain(m *testing.M) {
	var err error
	if dir, err = os.MkdirTemp("", "ruedo-web-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// probe is the guest in testdata and what compiles it.
type probe struct {
	wasm     []byte
	cache    string   // of compiled modules
	compiler []string // of a sandbox
}

// built is the probe of all tests.
var built = sync.OnceValues(func() (p probe, err error) {
	out := filepath.Join(dir, "probe.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, "./testdata/guests/probe")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("%w\n%s", err, msg)
	}
	p.cache = filepath.Join(dir, "cache")
	if p.compiler, err = testkit.Compiler(dir); err != nil {
		return p, err
	}
	p.wasm, err = os.ReadFile(out)
	return p, err
})

// gateway serves a template over HTTP: what core and runner do.
type gateway struct {
	t    *testing.T
	tpl  *sandbox.Template
	edit func(*http.Request)

	mu   sync.Mutex
	logs []byte // of the last call
}

func head(r *http.Request) []byte {
	var b []byte
	for _, f := range [][2]string{
		{abi.HeadCallID, "c-1"}, {abi.HeadMethod, r.Method}, {abi.HeadPath, r.RequestURI}, {abi.HeadAuthority, r.Host},
		{abi.HeadScheme, "http"}, {abi.HeadProto, r.Proto}, {abi.HeadRemote, r.RemoteAddr}, {abi.HeadTimeout, strconv.FormatInt(int64(20*time.Second), 10)},
	} {
		b = abi.AppendField(b, f[0], f[1])
	}
	for name, values := range r.Header {
		for _, v := range values {
			b = abi.AppendField(b, strings.ToLower(name), v)
		}
	}
	for name := range r.Trailer {
		b = abi.AppendField(b, "trailer", name)
	}
	return b
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex()
	if g.edit != nil {
		g.edit(r)
	}
	a := &answering{w: w, r: r, ticked: make(chan struct{})}
	req := sandbox.Request{ID: "c-1", Head: head(r), Responder: a, Opener: a}
	switch {
	case r.Header.Get("Upgrade") != "":
		var in *io.PipeReader
		in, a.in = io.Pipe()
		req.Body = in
	case r.ContentLength >= 0 && r.ContentLength <= 32<<10:
		req.Input, _ = io.ReadAll(r.Body)
	default:
		req.Body = &body{ReadCloser: r.Body, rc: rc}
		req.Trailers = func() []byte { return host.AppendFields(nil, r.Trailer, nil) }
	}
	res, err := g.tpl.Call(context.WithoutCancel(r.Context()), req)
	g.mu.Lock()
	g.logs = res.Logs
	g.mu.Unlock()
	switch {
	case a.conn != nil:
		a.conn.Close()
		a.work.Wait()
		return
	case res.Streamed:
		if err != nil || a.err != nil {
			panic(http.ErrAbortHandler)
		}
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	default:
		a.begin(res.Head, len(res.Output), len(res.Trailers) > 0)
		if r.Method != http.MethodHead {
			_, _ = w.Write(res.Output)
		}
	}
	trailers, _ := host.ParseFields(string(res.Trailers), nil)
	for name, values := range trailers {
		w.Header()[http.TrailerPrefix+name] = values
	}
}

// body ends a read in flight when it is closed. After its end, net/http reads the
// connection itself, and a deadline would break that.
type body struct {
	io.ReadCloser
	rc    *http.ResponseController
	ended atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended.Store(true)
	}
	return n, err
}

func (b *body) Close() error {
	if b.ended.Load() {
		return nil
	}
	return b.rc.SetReadDeadline(time.Unix(1, 0))
}

// answering is an answer that is on its way, and the network.
type answering struct {
	w    http.ResponseWriter
	r    *http.Request
	err  error
	in   *io.PipeWriter // of an upgrade
	conn net.Conn
	work sync.WaitGroup

	ticked chan struct{} // closed when the guest's timer has ticked
}

// begin writes the head. size is that of a whole answer, or -1.
func (a *answering) begin(head []byte, size int, trailers bool) {
	status := http.StatusOK
	fields, _ := host.ParseFields(string(head), func(key, value string) {
		if key == abi.HeadStatus {
			status, _ = strconv.Atoi(value)
		}
	})
	if status == http.StatusSwitchingProtocols {
		a.upgrade(fields)
		return
	}
	for name, values := range fields {
		a.w.Header()[name] = values
	}
	if fields["Content-Type"] == nil && status >= 200 {
		a.w.Header()["Content-Type"] = nil // the guest has sniffed
	}
	if size >= 0 && !trailers && fields["Trailer"] == nil && a.r.Method != http.MethodHead && status != 204 && status != 304 {
		a.w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	a.w.WriteHeader(status)
	clear(a.w.Header())
}

func (a *answering) upgrade(fields http.Header) {
	c, rw, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		return
	}
	a.conn = c
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
	_ = fields.Write(c)
	_, _ = io.WriteString(c, "\r\n")
	a.work.Go(func() {
		_, _ = io.Copy(a.in, rw)
		a.in.Close()
	})
}

func (a *answering) Inform(head []byte) {
	a.begin(head, -1, false)
}

func (a *answering) Stream(head []byte, body io.Reader) {
	a.begin(head, -1, false)
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		switch {
		case n == 0:
		case a.conn != nil:
			_, _ = a.conn.Write(buf[:n])
		default:
			_, _ = a.w.Write(buf[:n])
			_ = http.NewResponseController(a.w).Flush()
		}
		if err != nil {
			if err != io.EOF {
				a.err = err
			}
			return
		}
	}
}

// Open is a network of a few hosts.
func (a *answering) Open(ctx context.Context, o *stream.Outbound, p *stream.Peer) error {
	answer := func(fields ...string) {
		var b []byte
		for i := 0; i < len(fields); i += 2 {
			b = abi.AppendField(b, fields[i], fields[i+1])
		}
		p.Head(b)
	}
	switch o.URL.Hostname() {
	case "ticked.example":
		close(a.ticked)
		answer(abi.HeadStatus, "204")
		return nil
	case "slow.example":
		select {
		case <-a.ticked:
		case <-ctx.Done():
			return ctx.Err()
		}
		answer(abi.HeadStatus, "200")
		_, err := io.WriteString(p, "slow")
		return err
	case "sum.example":
		answer(abi.HeadStatus, "201", "content-length", "4", "trailer", "X-Sum")
		p.Trailers(abi.AppendField(nil, "x-sum", "7"))
		_, err := io.WriteString(p, "body")
		return err
	case "echo.example":
		answer(abi.HeadRemote, "10.0.0.7:7")
		b, err := io.ReadAll(p)
		if err != nil {
			return err
		}
		_, err = p.Write(bytes.ToUpper(b))
		return err
	case "silent.example":
		<-ctx.Done()
		return ctx.Err()
	}
	return &fault.Error{Reason: stream.ReasonBlocked, Message: "no grant for " + o.URL.Hostname()}
}

// notes reads what the guest noted in its log.
func (g *gateway) notes(t *testing.T) (list []string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for line := range strings.Lines(string(g.logs)) {
		_, quoted, ok := strings.Cut(strings.TrimSpace(line), `note "`)
		if !ok {
			continue
		}
		note, err := strconv.Unquote(`"` + quoted)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		list = append(list, note)
	}
	return list
}

// TestAsGuest runs the part that native tests cannot: what is between this
// package and its host.
func TestAsGuest(t *testing.T) {
	probe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sandbox.New(t.Context(), sandbox.Config{CacheDir: probe.cache, Compiler: probe.compiler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	tpl, err := engine.Load(t.Context(), sandbox.Spec{Wasm: probe.wasm, Limits: sandbox.Limits{Timeout: 20 * time.Second, Output: 4 << 20, Input: 4 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if kind := tpl.Report().Kind; kind != sandbox.HTTP {
		t.Errorf("the kind is %s", kind)
	}
	g := &gateway{t: t, tpl: tpl}

	for i, c := range same.Cases() {
		for _, h2 := range []bool{false, true} {
			if c.H1 && h2 {
				continue
			}
			t.Run(fmt.Sprintf("%s, HTTP/%d", c.Name, map[bool]int{false: 1, true: 2}[h2]), func(t *testing.T) {
				want, err := c.Native(h2)
				if err != nil {
					t.Fatal(err)
				}
				g.edit = func(r *http.Request) { r.Header.Set("X-Case", strconv.Itoa(i)) }
				got, err := same.Ask(c, g, h2)
				if err != nil {
					t.Fatal(err)
				}
				got.Notes = g.notes(t)
				for _, d := range c.Differences(got, want) {
					t.Errorf("%s\n%s", d, g.logs)
				}
			})
		}
	}

	g.edit = nil
	s := httptest.NewUnstartedServer(g)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	defer s.Close()
	ask := func(t *testing.T, path, url string, body io.Reader) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Url", url)
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	for name, c := range map[string]struct{ path, url, want string }{
		"clean memory":       {"/calls", "", "1 truec-1"},
		"events":             {"/ticks", "", "data: 0\n\ndata: 1\n\ndata: 2\n\n"},
		"a request":          {"/fetch", "https://sum.example/", "201 Created body <nil> 7"},
		"a refused request":  {"/fetch", "https://other.example/", `true Get "https://other.example/": EGRESS_BLOCKED: no grant for other.example`},
		"a connection":       {"/dial", "", "true 10.0.0.7:7 HELLO"},
		"streams and timers": {"/together", "", "3 <nil> 3 true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				body := io.Reader(strings.NewReader("abc"))
				if c.path == "/together" {
					body = slow("abc")
				}
				if got := ask(t, c.path, c.url, body); got != c.want {
					t.Errorf("got %q, want %q\n%s", got, c.want, g.logs)
				}
			}
		})
	}

	t.Run("what a call leaves behind", func(t *testing.T) {
		for range 20 {
			if got := ask(t, "/leave", "", slow("abc")); got != "left" {
				t.Errorf("got %q", got)
			}
			if got := ask(t, "/calls", "", nil); got != "1 truec-1" {
				t.Errorf("then %q", got)
			}
		}
	})

	// With a grace, a request's context ends when the caller is gone, also if its body
	// was whole.
	t.Run("a caller that leaves", func(t *testing.T) {
		tpl, err := engine.Load(t.Context(), sandbox.Spec{Wasm: probe.wasm, Limits: sandbox.Limits{Timeout: 20 * time.Second, Grace: 5 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		for _, streams := range []bool{true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			req := sandbox.Request{Head: head(httptest.NewRequest("POST", "/gone", nil)), Input: []byte("abc"), Responder: first(cancel)}
			if streams {
				req.Input, req.Body = nil, strings.NewReader("abc")
			}
			res, err := tpl.Call(ctx, req)
			cancel()
			if want := `note "context canceled, then true"`; !strings.Contains(string(res.Logs), want) {
				t.Errorf("streams %t: %v; the logs %q lack %q", streams, err, res.Logs, want)
			}
		}
	})

	t.Run("an upgrade", func(t *testing.T) {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "shout" {
			t.Fatal(res, err)
		}
		for i := range 5 {
			fmt.Fprintf(c, "%d\n", i)
			if line, err := r.ReadString('\n'); line != fmt.Sprintf("%d!\n", i) || err != nil {
				t.Fatal(line, err)
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
			t.Error(b, err)
		}
	})

	// In memory that calls share, a descriptor that stayed open would be taken for
	// that of the next call.
	t.Run("shared memory", func(t *testing.T) {
		tpl, err := engine.Load(t.Context(), sandbox.Spec{Wasm: probe.wasm, Isolation: sandbox.Shared, Limits: sandbox.Limits{Timeout: 20 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		shared := httptest.NewServer(&gateway{t: t, tpl: tpl})
		defer shared.Close()
		for i := range 10 {
			for path, want := range map[string]string{"/together": "3 <nil> 3 true\n", "/dial": "true 10.0.0.7:7 HELLO", "/calls": fmt.Sprint(i+1, true, "c-1")} {
				body := io.Reader(strings.NewReader("abc"))
				if path == "/together" {
					body = slow("abc")
				}
				res, err := shared.Client().Post(shared.URL+path, "", body)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(b) != want || err != nil {
					t.Errorf("%s: got %q, %v, want %q", path, b, err, want)
				}
			}
		}
	})

	// A service that is wrong from the start fails when it is loaded, not at a call.
	for wrong, want := range map[string]string{
		"nil":   "the handler is nil",
		"twice": "a service has one handler: web.Serve at ",
		"both":  "comes after HandleBytes at ",
	} {
		t.Run("wrong: "+wrong, func(t *testing.T) {
			_, err := engine.Load(t.Context(), sandbox.Spec{Wasm: probe.wasm, Env: map[string]string{"PROBE": wrong}})
			var e *fault.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, which does not say %q", err, want)
			}
		})
	}
}

// first calls a function when an answer has begun.
type first func()

func (f first) Stream(_ []byte, body io.Reader) {
	_, _ = body.Read(make([]byte, 1))
	f()
	_, _ = io.Copy(io.Discard, body)
}

// slow hides its length, so that it streams.
func slow(text string) io.Reader { return struct{ io.Reader }{strings.NewReader(text)} }
