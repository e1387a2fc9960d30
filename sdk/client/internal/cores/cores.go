// Package cores sends HTTP requests to one of several cores of a cluster.
//
//	list, err := cores.Parse("https://core-1:7833, unix:/run/ruedo/core-7833.sock")
//	c := cores.New(list, &http.Client{})
//	res, err := c.Do(req) // req is for the URL of the first core
//
// A request goes to the core that answered last, at first to the first one. If
// it provably was not sent, because there is no connection, it goes to the next
// core, until all of them were tried. A request that may have arrived is never
// sent again here; but those that follow begin with the next core.
//
// All methods can be called from many goroutines.
package cores

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/socket"
)

// MaxURLs bounds the number of cores.
const MaxURLs = 32

// Core is one core of a list.
type Core struct {
	// URL is what its requests are for.
	URL *url.URL
	// Socket is the path of its unix socket; "" if it is reached over the network.
	Socket string
}

// String returns the core as users write it.
func (c Core) String() string {
	if c.Socket != "" {
		return SocketURL(c.Socket)
	}
	return c.URL.String()
}

// Origin returns the part of a URL that says whom a request is for.
func Origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// Local reports whether what is sent to the core stays on this machine.
func (c Core) Local() bool {
	return c.Socket != "" || loopback.Is(c.URL.Host)
}

// unixScheme begins the address of a socket.
const unixScheme = "unix:"

// SocketURL returns the address of a socket as [Parse] reads it.
func SocketURL(path string) string {
	return unixScheme + strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), ",", "%2C")
}

// Parse returns the cores of a list that is separated by spaces or commas, without
// duplicates: URLs, "unix:/path" for sockets, and hosts, which are for plain HTTP.
// The error says which item is not valid, and why.
func Parse(list string) ([]Core, error) {
	var cores []Core
	seen := map[string]bool{}
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		core, err := parse(item, len(cores))
		switch {
		case err != nil:
			return nil, err
		case seen[core.String()]:
			continue
		case len(cores) == MaxURLs:
			return nil, fmt.Errorf("there are more than %d cores", MaxURLs)
		}
		seen[core.String()] = true
		cores = append(cores, core)
	}
	if len(cores) == 0 {
		return nil, errors.New("no core is named")
	}
	return cores, nil
}

// parse reads one item, which becomes the n-th core.
func parse(item string, n int) (Core, error) {
	if text, ok := strings.CutPrefix(item, unixScheme); ok {
		path, err := url.PathUnescape(strings.TrimPrefix(text, "//"))
		if err != nil || !strings.HasPrefix(path, "/") {
			return Core{}, fmt.Errorf("%.128q is not a socket: unix:/path is expected", item)
		}
		// Connections are kept by host, so each socket has one. It exists nowhere.
		return Core{&url.URL{Scheme: "http", Host: strconv.Itoa(n) + ".socket.invalid"}, path}, nil
	}
	text := item
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	if at := strings.LastIndexByte(item, '@'); at >= 0 {
		item = "***" + item[at:] // a password stays out of errors
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil {
		return Core{}, fmt.Errorf("%.128q is not a URL: %w", item, errors.Unwrap(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return Core{}, fmt.Errorf("%.128q is not a core: host:port, or a URL with http or https is expected", item)
	}
	return Core{URL: u}, nil
}

// Dial is a function that connects.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Sockets returns a Dial that connects to the sockets of a list, and to everything
// else by dial.
func Sockets(list []Core, dial Dial) Dial {
	paths := make(map[string]string)
	for _, core := range list {
		if core.Socket != "" {
			paths[core.URL.Host+":80"] = core.Socket
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if path, ok := paths[address]; ok {
			return socket.Dial(ctx, path)
		}
		return dial(ctx, network, address)
	}
}

// Doer is an HTTP client.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Cores are the cores that a client knows.
type Cores struct {
	http    Doer
	list    []Core
	current atomic.Int32 // index of the core to ask first
}

// New returns Cores that send through http. list has one core at least.
func New(list []Core, http Doer) *Cores { return &Cores{http: http, list: list} }

// URL returns the address of the core that the next request goes to first.
func (c *Cores) URL() string { return c.list[c.current.Load()].String() }

// Shown returns URL for display: without a user and a password.
func (c *Cores) Shown() string { return shown(c.list[c.current.Load()]) }

func shown(core Core) string {
	text := core.String()
	if core.URL.User == nil {
		return text
	}
	return strings.Replace(text, core.URL.User.String(), "***", 1)
}

// Len returns the number of cores.
func (c *Cores) Len() int { return len(c.list) }

// Next makes the requests that follow begin with another core than the one with
// this URL. It does nothing if they do so already.
func (c *Cores) Next(url string) {
	at := c.current.Load()
	if c.list[at].String() == url {
		c.current.CompareAndSwap(at, c.after(at))
	}
}

func (c *Cores) after(at int32) int32 { return (at + 1) % int32(len(c.list)) }

// Do sends a request, whose URL must be for the first core. Its error is an
// *Error.
func (c *Cores) Do(req *http.Request) (*http.Response, error) {
	if len(c.list) == 1 {
		res, err := c.http.Do(c.to(req, 0, nil))
		if err != nil {
			return nil, &Error{[]Attempt{c.attempt(0, err)}, notSent(err)}
		}
		return res, nil
	}
	var body *heldBody
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		body = &heldBody{body: req.Body}
	}
	failed := &Error{}
	for at := c.current.Load(); ; at = c.after(at) {
		res, err := c.http.Do(c.to(req, at, body))
		if err == nil {
			c.current.Store(at)
			body.release()
			return res, nil
		}
		failed.NotSent = notSent(err)
		failed.Attempts = append(failed.Attempts, c.attempt(at, err))
		if !errors.Is(err, context.Canceled) {
			c.current.CompareAndSwap(at, c.after(at))
		}
		if !failed.NotSent || len(failed.Attempts) == len(c.list) || req.Context().Err() != nil || !rewind(req, body) {
			body.release()
			return nil, failed
		}
	}
}

// to returns the request for one of the cores.
func (c *Cores) to(req *http.Request, at int32, body *heldBody) *http.Request {
	first, target := c.list[0].URL, c.list[at].URL
	own := *req
	if body != nil {
		own.Body = body
	}
	if at > 0 {
		u := *req.URL
		u.Scheme, u.User, u.Host = target.Scheme, target.User, target.Host
		u.Path = target.Path + strings.TrimPrefix(u.Path, first.Path)
		if u.RawPath != "" {
			u.RawPath = target.EscapedPath() + strings.TrimPrefix(u.RawPath, first.EscapedPath())
		}
		own.URL = &u
		if own.Host == first.Host {
			own.Host = target.Host
		}
	}
	if c.list[at].Socket != "" {
		own.Host = "localhost"
	}
	return &own
}

// rewind makes the body of a request that was not sent readable again, and
// reports whether it is.
func rewind(req *http.Request, held *heldBody) bool {
	if held != nil {
		return held.unread()
	}
	if req.GetBody == nil {
		return true
	}
	body, err := req.GetBody()
	if err != nil {
		return false
	}
	req.Body = body
	return true
}

// notSent reports whether a request provably did not arrive at its server: there
// was no connection, or none that is secure.
func notSent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

// heldBody is a body that can be sent once, and stays open until it was sent or
// given up: an HTTP client closes the body of each request that it cannot send.
type heldBody struct {
	body io.ReadCloser

	mu       sync.Mutex
	read     bool // some of it may have been sent
	closed   bool
	released bool
}

func (b *heldBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
	return b.body.Read(p)
}

func (b *heldBody) Close() error {
	b.mu.Lock()
	b.closed = true
	released := b.released
	b.mu.Unlock()
	if released {
		return b.body.Close()
	}
	return nil
}

// unread reports whether the body is still whole, for another request.
func (b *heldBody) unread() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = false
	return !b.read
}

// release lets the HTTP client close the body. It does nothing if b is nil.
func (b *heldBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.released = true
	closed := b.closed
	b.mu.Unlock()
	if closed {
		_ = b.body.Close()
	}
}
