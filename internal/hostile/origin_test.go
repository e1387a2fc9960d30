//go:build hostile

package hostile

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// page is a guest that answers with an HTML page.
func page() []byte {
	head := abi.AppendField(nil, "content-type", "text/html")
	text := "<script>alert(document.domain)</script>"
	m := w.FunctionWith([]string{"ruedo.head_write:ii>i", outputWrite},
		w.CallWith(0, 0, int32(len(head))), w.Drop(), w.CallWith(1, 1024, int32(len(text))), w.Drop(), w.I32(0))
	m.Data(0, head)
	m.Data(1024, []byte(text))
	return m.Bytes()
}

// originRow is row 44: web pages of other sites, and host names that resolve to
// this machine.
func originRow() *row {
	const evilHost, evilOrigin = "evil.example", "http://evil.example"
	paths := func(b *bout) []string {
		list := []string{"/", "/call/" + victimName, "/call/no-such-service", "/call/a/b", "/metrics", "/healthz", "/no/such/path"}
		for _, p := range b.mustProcedures() {
			list = append(list, p.path)
		}
		return list
	}
	// refused checks an answer of plain HTTP.
	refused := func(b *bout, what string, a *said, err error, reason fault.Reason, statuses ...int) {
		switch {
		case err != nil:
			b.Errorf("%s: %v", what, err)
		case !slices.Contains(statuses, a.status):
			b.Errorf("%s: status %d, want one of %v", what, a.status, statuses)
		case !reasonIs(a.err, reason):
			b.Errorf("%s: status %d with %s, want %s: %.200q", what, a.status, faultrpc.FromError(a.err).Reason, reason, a.body)
		}
		if err == nil {
			b.shares(what, a)
		}
	}
	return &row{
		number: 44, name: "names that point here, pages of other sites", once: true,
		setup: func(b *bout) {
			b.mustPublish(b.service("page"), page(), time.Second)
			b.mustPublish(b.service("trap"), w.Function(w.Unreachable()).Bytes(), time.Second)
		},
		moves: []move{
			{"hosts of strangers", func(b *bout) {
				_, port, _ := net.SplitHostPort(b.address())
				for _, path := range paths(b) {
					for _, method := range []string{http.MethodGet, http.MethodPost} {
						a, err := b.answer(method, path, http.Header{"Host": {evilHost}, "Content-Type": {"application/json"}}, strings.NewReader("{}"))
						refused(b, method+" "+path, a, err, fault.HostNotAllowed, http.StatusForbidden, http.StatusMisdirectedRequest)
					}
				}
				// A name that its owner can point at this machine, unlike an address.
				for _, host := range []string{
					evilHost + ":" + port, evilHost + ".", strings.ToUpper(evilHost), "127.0.0.1." + evilHost, "localhost." + evilHost,
					"localhost." + evilHost + ":" + port, "127.0.0.1.nip.io", "localhost.com", evilHost + ":99999999",
				} {
					a, err := b.answer(http.MethodPost, "/call/"+victimName, http.Header{"Host": {host}}, strings.NewReader("{}"))
					refused(b, "Host: "+host, a, err, fault.HostNotAllowed, http.StatusForbidden, http.StatusMisdirectedRequest)
				}
			}},
			{"hosts of strangers, over HTTP/2", func(b *bout) {
				f, err := b.frames()
				if err != nil {
					b.Errorf("dial: %v", err)
					return
				}
				defer f.close()
				for _, path := range paths(b) {
					_ = f.foreign(http.MethodPost, path, evilHost)
				}
				if !testkit.Poll(headerWithin, func() bool { return f.left() == 0 }) {
					b.Errorf("%d requests have no answer", f.left())
				}
				f.note(func() {
					for id, status := range f.status {
						if status != http.StatusForbidden && status != http.StatusMisdirectedRequest {
							b.Errorf("stream %d: status %d, want 403 or 421", id, status)
						}
					}
				})
			}},
			{"names and addresses of this machine", func(b *bout) {
				_, port, _ := net.SplitHostPort(b.address())
				for _, host := range []string{"localhost", "localhost:" + port, "LOCALHOST:" + port, "127.0.0.1", "127.0.0.1:" + port, "127.1.2.3:" + port, "[::1]", "[::1]:" + port} {
					a, err := b.answer(http.MethodPost, "/call/"+victimName, http.Header{"Host": {host}}, strings.NewReader("{}"))
					if err != nil || a.status != http.StatusOK {
						b.Errorf("Host: %s: %+v, %v", host, a, err)
					}
				}
			}},
			{"pages of other sites", func(b *bout) {
				foreign := []http.Header{
					{"Origin": {evilOrigin}}, {"Origin": {"null"}}, {"Origin": {"http://127.0.0.1:1"}}, {"Origin": {"https://" + b.address() + ".evil.example"}},
					{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Sec-Fetch-Site": {"cross-site"}, "Origin": {evilOrigin}},
				}
				for _, path := range paths(b) {
					if strings.HasPrefix(path, "/call/") || strings.HasPrefix(path, "/ruedo.") || strings.HasPrefix(path, "/grpc.") {
						a, err := b.answer(http.MethodPost, path, with(foreign[0], "Content-Type", "application/json"), strings.NewReader("{}"))
						refused(b, "POST "+path, a, err, fault.OriginNotAllowed, http.StatusForbidden)
					}
				}
				for _, h := range foreign {
					for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json"} {
						a, err := b.answer(http.MethodPost, "/call/"+victimName, with(h, "Content-Type", ct), strings.NewReader("{}"))
						refused(b, fmt.Sprintf("%v %s", h, ct), a, err, fault.OriginNotAllowed, http.StatusForbidden)
					}
				}
				for _, h := range []http.Header{{}, {"Sec-Fetch-Site": {"same-origin"}}, {"Sec-Fetch-Site": {"none"}}, {"Origin": {b.url}}} {
					a, err := b.answer(http.MethodPost, "/call/"+victimName, h, strings.NewReader("{}"))
					if err != nil || a.status != http.StatusOK {
						b.Errorf("%v: %+v, %v", h, a, err)
					}
				}
			}},
			{"questions before a request", func(b *bout) {
				for _, path := range paths(b) {
					a, err := b.answer(http.MethodOptions, path, http.Header{
						"Origin": {evilOrigin}, "Access-Control-Request-Method": {http.MethodPost}, "Access-Control-Request-Headers": {"content-type"},
					}, nil)
					if err != nil {
						b.Errorf("OPTIONS %s: %v", path, err)
						continue
					}
					b.shares("OPTIONS "+path, a)
				}
			}},
			{"answers of guests", func(b *bout) {
				for path, body := range map[string]string{
					b.service("page"): "", b.service("trap"): "", victimName: "{}", "no-such-service": "", "a/b": "", "": "",
					victimName + "?": strings.Repeat("x", 5<<20),
				} {
					a, err := b.answer(http.MethodPost, "/call/"+path, nil, strings.NewReader(body))
					if err != nil {
						b.Errorf("/call/%s: %v", path, err)
						continue
					}
					b.sandboxed("/call/"+path, a)
				}
				a, err := b.answer(http.MethodGet, "/call/"+b.service("page"), nil, nil)
				if err != nil {
					b.Errorf("GET: %v", err)
					return
				}
				b.sandboxed("GET", a)
			}},
		},
		peakCore: 64 << 20,
	}
}

func with(h http.Header, key, value string) http.Header {
	h = h.Clone()
	h.Set(key, value)
	return h
}

// shares checks that an answer does not let other sites read it.
func (b *bout) shares(what string, a *said) {
	for k := range a.header {
		if strings.HasPrefix(k, "Access-Control-") {
			b.Errorf("%s: the answer has %s: %s", what, k, a.header.Get(k))
		}
	}
}

// sandboxed checks that a browser executes nothing in an answer.
func (b *bout) sandboxed(what string, a *said) {
	if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") || strings.Contains(got, "allow-") {
		b.Errorf("%s: %d with Content-Security-Policy %q, want sandbox", what, a.status, got)
	}
	if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
		b.Errorf("%s: %d with X-Content-Type-Options %q, want nosniff", what, a.status, got)
	}
}

// foreign opens a stream for another host.
func (f *frames) foreign(method, path, host string) error {
	f.write.Lock()
	was := f.authority
	f.authority = host
	f.write.Unlock()
	_, err := f.request(true, method, path)
	f.write.Lock()
	f.authority = was
	f.write.Unlock()
	return err
}
