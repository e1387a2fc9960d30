//go:build !wasip1

package same

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"
)

// Seen is what a caller and a handler saw of one exchange.
type Seen struct {
	Status  int
	Proto   string
	Header  http.Header
	Body    string
	Trailer http.Header
	Early   []string // 1xx answers
	Failed  bool
	Notes   []string
	Length  int64 // length
}

// Notebook keeps notes of one handler. It is safe for concurrent use.
type Notebook struct {
	mu    sync.Mutex
	lines []string
}

// Note adds a line.
func (n *Notebook) Note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// Lines returns the notes.
func (n *Notebook) Lines() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// Protocols are those that services are reached by.
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Ask makes the request of c to a server of handler.
func Ask(c Case, handler http.Handler, h2 bool) (Seen, error) {
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = Protocols()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	defer s.Close()
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: p, DisableCompression: true}
	defer tr.CloseIdleConnections()
	got := Seen{}
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			got.Early = append(got.Early, fmt.Sprint(code, header))
			return nil
		},
	})
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var body io.Reader
	if c.Body != nil {
		body = c.Body()
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, s.URL+"/a%2Fb?q=1&q=2", body)
	if err != nil {
		return got, err
	}
	req.Host = "some.host:99"
	if c.Request != nil {
		c.Request(req)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		got.Failed = true
	} else {
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		got.Failed = err != nil
		got.Status, got.Proto, got.Header, got.Body, got.Trailer = res.StatusCode, res.Proto, res.Header, string(b), res.Trailer
		got.Length = res.ContentLength
		got.Header.Del("Date")
		got.Header.Del("Connection")
		got.Header.Del("Content-Length")
	}
	s.Close()
	return got, nil
}

// Native asks net/http's own server.
func (c Case) Native(h2 bool) (Seen, error) {
	var notes Notebook
	got, err := Ask(c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		c.Handle(w, r, notes.Note)
	}), h2 && !c.As1)
	got.Notes = notes.Lines()
	return got, err
}

// Differences says how what was seen of a module differs from what was seen of
// net/http.
func (c Case) Differences(got, want Seen) (list []string) {
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if !slices.Equal(got.Notes, want.Notes) {
		differ("the handler saw\n%s\nand by net/http\n%s", strings.Join(got.Notes, "\n"), strings.Join(want.Notes, "\n"))
	}
	if c.Status != 0 {
		if got.Status != c.Status || !want.Failed {
			differ("status %d, net/http failed: %t", got.Status, want.Failed)
		}
		return list
	}
	if want.Failed && (got.Failed || got.Status == http.StatusInternalServerError) {
		return list // in a module, a flush may not have taken effect yet
	}
	if c.As1 {
		want.Proto = got.Proto
	}
	if got.Status != want.Status || got.Proto != want.Proto || got.Failed != want.Failed {
		differ("status %d %s, failed %t; by net/http %d %s, %t", got.Status, got.Proto, got.Failed, want.Status, want.Proto, want.Failed)
	}
	if g, w := Fields(got.Header), Fields(want.Header); g != w {
		differ("fields\n%sby net/http\n%s", g, w)
	}
	if g, w := Fields(got.Trailer), Fields(want.Trailer); g != w {
		differ("trailers\n%sby net/http\n%s", g, w)
	}
	if got.Body != want.Body && !want.Failed {
		differ("a body of %d bytes, by net/http %d", len(got.Body), len(want.Body))
	}
	// More is kept than net/http keeps, so the length is known more often.
	if got.Length != want.Length && (want.Length >= 0 || got.Length != int64(len(got.Body))) {
		differ("length %d, by net/http %d", got.Length, want.Length)
	}
	if !slices.Equal(got.Early, want.Early) {
		differ("early answers %v, by net/http %v", got.Early, want.Early)
	}
	return list
}
