//go:build hostile

package hostile

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// target is what a page attacks.
type target struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Call    string `json:"call"`
	Page    string `json:"page"`
	Socket  string `json:"socket"`
	Doomed  string `json:"doomed"`
	Rebound string `json:"rebound"`
}

// evilSite is a site whose pages attack cores. It notes what they report.
type evilSite struct {
	*httptest.Server
	mu       sync.Mutex
	outcomes map[string]string
	done     map[string]int // requests of pages of guests
}

// newEvilSite starts the site. Its pages are at evil.example, too.
func newEvilSite() *evilSite {
	e := &evilSite{done: map[string]int{}}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "no-store")
		switch r.URL.Path {
		case "/attack.html", "/rebound.html":
			http.ServeFile(w, r, filepath.Join("testdata", r.URL.Path))
		case "/report":
			e.mu.Lock()
			defer e.mu.Unlock()
			if err := json.NewDecoder(r.Body).Decode(&e.outcomes); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		default: // what the pages of guests do: /core/did?script
			if to, script := strings.CutSuffix(r.URL.Path, "/source.js"); script {
				w.Header().Set("Content-Type", "text/javascript")
				_, _ = fmt.Fprintf(w, "new Image().src = %q", e.site()+to+"/did?source")
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.done[r.URL.Path+" "+r.URL.RawQuery]++
		}
	}))
	return e
}

// site is the URL of the site, by its name.
func (e *evilSite) site() string { return strings.Replace(e.URL, "127.0.0.1", evilName, 1) }

// page returns the URL of the page that attacks targets.
func (e *evilSite) page(targets ...target) string {
	text, err := json.Marshal(map[string]any{"report": e.site() + "/report", "targets": targets})
	if err != nil {
		panic(err) // the values are built here
	}
	return e.site() + "/attack.html#" + url.PathEscape(string(text))
}

// framed returns the page of a guest, which reports as somebody's.
func (e *evilSite) framed(whose, call string) ([]byte, error) {
	text, err := os.ReadFile("testdata/framed.html")
	return []byte(strings.NewReplacer("EVIL", e.site()+"/"+whose, "CALL", call).Replace(string(text))), err
}

func (e *evilSite) reported() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.outcomes)
}

// did returns what the pages of somebody's guest have done, and how often they were
// shown.
func (e *evilSite) did(whose string) (done []string, shown int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for what, n := range e.done {
		switch {
		case what == "/"+whose+"/shown ":
			shown = n
		case strings.HasPrefix(what, "/"+whose+"/"):
			done = append(done, strings.TrimPrefix(what, "/"+whose+"/did "))
		}
	}
	slices.Sort(done)
	return done, shown
}

// careless is what a core would be that trusts every request: with it, the pages show
// that their attacks are some.
type careless struct {
	*httptest.Server
	page     []byte
	mu       sync.Mutex
	executed map[string]bool
}

func newCareless() *careless {
	c := &careless{executed: map[string]bool{}}
	c.Server = httptest.NewServer(c)
	return c
}

func (c *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Allow-Headers", "content-type, authorization")
	}
	if r.Method == http.MethodOptions {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch name := r.URL.Query().Get("t"); {
	case r.URL.Path == "/page":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(c.page)
	case r.Header.Get("Upgrade") == "websocket":
		c.executed[name] = true
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
		w.WriteHeader(http.StatusSwitchingProtocols)
	case r.Method == http.MethodPost:
		c.executed[name] = true
		_, _ = io.WriteString(w, "{}")
	default:
		_, _ = io.WriteString(w, "{}")
	}
}

func (c *careless) did(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.executed[name]
}

// rebinding answers for a name, first as the evil site, and after a request for /rebind
// as if the name pointed to a target by then: connections go there.
type rebinding struct {
	net.Listener
	to     string
	turned atomic.Bool
	http   *http.Server
	all    sync.WaitGroup
}

// newRebinding listens on the port of the target, at another address.
func newRebinding(targetURL string, site http.Handler) (*rebinding, error) {
	u, err := url.Parse(targetURL)
	if err != nil {
		return nil, err
	}
	r := &rebinding{to: u.Host}
	if r.Listener, err = net.Listen("tcp", net.JoinHostPort(reboundAddress, u.Port())); err != nil {
		return nil, err
	}
	r.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Evil", "yes")
		w.Header().Set("Connection", "close")
		if req.URL.Path == "/rebind" {
			r.turned.Store(true)
			return
		}
		site.ServeHTTP(w, req)
	})}
	r.all.Go(func() { _ = r.http.Serve(r) })
	return r, nil
}

// Accept returns connections until the name points elsewhere.
func (r *rebinding) Accept() (net.Conn, error) {
	for {
		conn, err := r.Listener.Accept()
		if err != nil || !r.turned.Load() {
			return conn, err
		}
		r.all.Go(func() { r.splice(conn) })
	}
}

func (r *rebinding) splice(conn net.Conn) {
	defer conn.Close()
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer to.Close()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, conn)
		_ = to.Close()
	})
	_, _ = io.Copy(conn, to)
	_ = conn.Close()
	both.Wait()
}

func (r *rebinding) close() {
	_ = r.http.Close()
	r.all.Wait()
}

// url returns the URL of the page on the name.
func (r *rebinding) url(call string) string {
	_, port, _ := net.SplitHostPort(r.to)
	return "http://" + net.JoinHostPort(reboundName, port) + "/rebound.html#" + url.PathEscape(call)
}
