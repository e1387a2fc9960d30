package httphead

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// parse returns the fields of a head, in order.
func parse(t testing.TB, head []byte) (fields [][2]string) {
	t.Helper()
	for len(head) > 0 {
		name, value, rest, ok := abi.NextField(head)
		if !ok {
			t.Fatalf("the head breaks off: %q", head)
		}
		fields, head = append(fields, [2]string{name, value}), rest
	}
	return fields
}

func values(fields [][2]string, name string) (all []string) {
	for _, f := range fields {
		if f[0] == name {
			all = append(all, f[1])
		}
	}
	return all
}

func encode(fields ...string) (head []byte) {
	for i := 0; i < len(fields); i += 2 {
		head = abi.AppendField(head, fields[i], fields[i+1])
	}
	return head
}

func TestRequest(t *testing.T) {
	r := httptest.NewRequest("POST", "http://h:1/svc/x/a?b", strings.NewReader("x"))
	r.Header = http.Header{
		"Connection": {"close, X-Gone", "x-also"}, "X-Gone": {"1"}, "X-Also": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"1"}, "Upgrade": {"x"},
		"Transfer-Encoding": {"chunked"}, "Te": {"gzip, trailers;q=1"}, "X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Email": {"a@b"}, "Forwarded": {"for=x"},
		"X-Real-Ip": {"6.6.6.6"}, "Ruedo-Logs": {"1"}, "Http2-Settings": {"x"}, "X-Many": {"1", "2"}, "Bad Name": {"1"}, "X-Bad": {"a\r\nb: c", "good"},
	}
	r.Trailer = http.Header{"X-Sum": nil, "Content-Length": nil}
	r.RemoteAddr = "[fd00::1]:99"
	fields := parse(t, Request(r, Origin{Path: "/a?b", Prefix: "/svc/x", Timeout: time.Second, Upgrade: "websocket"}))
	for name, want := range map[string][]string{
		":method": {"POST"}, ":path": {"/a?b"}, ":authority": {"h:1"}, ":scheme": {"http"}, ":proto": {"HTTP/1.1"}, ":remote": {"[fd00::1]:99"}, ":timeout": {"1000000000"},
		"x-forwarded-for": {"fd00::1"}, "x-forwarded-host": {"h:1"}, "x-forwarded-proto": {"http"}, "x-forwarded-prefix": {"/svc/x"}, "trailer": {"X-Sum"},
		"x-many": {"1", "2"}, "x-bad": {"good"}, "connection": {"Upgrade"}, "upgrade": {"websocket"},
	} {
		if got := values(fields, name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, gone := range []string{
		"x-gone", "x-also", "keep-alive", "proxy-authorization", "transfer-encoding", "forwarded", "x-forwarded-email", "x-real-ip", "ruedo-logs", "http2-settings", "bad name",
	} {
		if got := values(fields, gone); got != nil {
			t.Errorf("%s passed: %q", gone, got)
		}
	}
}

// What a caller shows the core stays there, and so does a token that it sent elsewhere.
func TestCredentialsDoNotPass(t *testing.T) {
	const secret = "ruedo_t_7kq2m3x4tb_abcdefghijklmnopqrstuvwxyz0a1b2c3d"
	request := func(o Origin) [][2]string {
		r := httptest.NewRequest("POST", "http://h/", nil)
		r.Header = http.Header{
			"Authorization": {"Bearer own"}, "Cookie": {"a=b; key=" + secret + "; c=d", "e=" + secret, "f=g"}, "X-Api-Key": {secret, "own"},
			"Referer": {"https://h/?token=ruedo%5Ft%5F7kq2m3x4tb%5Fabc"}, "Sec-Websocket-Protocol": {"bearer, " + secret}, "Content-Type": {"text/plain; key=" + secret},
		}
		r.Trailer = http.Header{"X-Sum": nil, "Authorization": nil, "Cookie": nil, "Ruedo-Key": nil}
		o.Path = "/"
		return parse(t, Request(r, o))
	}
	for _, own := range []bool{false, true} {
		fields := request(Origin{Cookies: own})
		for _, f := range fields {
			if strings.Contains(f[1], "7kq2m3x4tb") || f[0] == "authorization" || f[0] == abi.HeadCaller {
				t.Errorf("%q passes", f)
			}
		}
		if got := values(fields, "x-api-key"); !slices.Equal(got, []string{"own"}) {
			t.Errorf("x-api-key %q", got)
		}
		if got := values(fields, "trailer"); !slices.Equal(got, []string{"X-Sum"}) {
			t.Errorf("trailer %q", got)
		}
		want := []string{"a=b; c=d", "f=g"}
		if !own {
			want = nil
		}
		if got := values(fields, "cookie"); !slices.Equal(got, want) {
			t.Errorf("cookies of its own site %t: %q", own, got)
		}
	}
	// A service with users of its own gets what they show it.
	if got := values(request(Origin{Authorization: true}), "authorization"); !slices.Equal(got, []string{"Bearer own"}) {
		t.Errorf("authorization %q", got)
	}
	r := httptest.NewRequest("POST", "http://h/", nil)
	r.Header["Authorization"] = []string{"Bearer " + secret, "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:"+secret))}
	if got := values(parse(t, Request(r, Origin{Path: "/", Authorization: true})), "authorization"); got != nil {
		t.Errorf("authorization %q", got)
	}
	if got := parse(t, Trailers(http.Header{"X-Sum": {secret, "7"}, "Authorization": {"Bearer own"}})); len(got) != 1 || got[0] != [2]string{"x-sum", "7"} {
		t.Errorf("trailers %q", got)
	}
}

func TestTe(t *testing.T) {
	for te, want := range map[string]string{"trailers": "trailers", "gzip, trailers": "trailers", "gzip": "", "": ""} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Te", te)
		if got := strings.Join(values(parse(t, Request(r, Origin{Path: "/"})), "te"), "|"); got != want {
			t.Errorf("%q passes as %q", te, got)
		}
	}
}

func TestAnswer(t *testing.T) {
	a, err := ParseAnswer(encode(":status", "201", "CONTENT-TYPE", "a/b", "set-cookie", "a=b", "Set-Cookie", "c=d", "connection", "close, x-gone", "x-gone", "1",
		"keep-alive", "1", "proxy-authenticate", "x", "te", "x", "transfer-encoding", "chunked", "upgrade", "h2c", "ruedo-runner", "me", "trailer", "x-sum", "content-length", "3"))
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Content-Type": {"a/b"}, "Set-Cookie": {"a=b", "c=d"}, "Trailer": {"x-sum"}, "Content-Length": {"3"}}
	if a.Status != 201 || !a.Close || a.Upgrade != "" || !equal(a.Header, want) {
		t.Errorf("%+v", a)
	}
	if a, err := ParseAnswer(nil); err != nil || a.Status != 200 || len(a.Header) != 0 {
		t.Errorf("no head: %+v %v", a, err)
	}
	if a, err := ParseAnswer(encode(":status", "101", "Upgrade", "websocket", "Connection", "Upgrade")); err != nil || a.Upgrade != "websocket" || a.Informational() {
		t.Errorf("%+v %v", a, err)
	}
	for _, lengths := range [][]string{{"3", "3"}, {"3", "4"}, {"+3"}, {"-1"}, {"0x3"}, {""}, {"3, 3"}, {" 3"}, {strings.Repeat("9", 30)}} {
		var head []byte
		for _, v := range lengths {
			head = abi.AppendField(head, "content-length", v)
		}
		if a, err := ParseAnswer(head); err != nil || a.Header["Content-Length"] != nil {
			t.Errorf("%q: %v %v", lengths, a.Header, err)
		}
	}
	for name, head := range map[string][]byte{
		"a line": encode("x-a", "1\r\nx-b: 2"), "a name with a line": encode("x\r\na", "1"), "another name with a colon": encode(":path", "/"), "no status": encode(":status", "20"),
		"a status of 600": encode(":status", "600"), "a negative status": encode(":status", "-10"), "a NUL": encode("x", "\x00"), "no name": encode("", "x"),
		"one that breaks off": encode("x", "y")[:9], "64 KiB": encode("x", strings.Repeat("y", MaxHead)),
	} {
		if a, err := ParseAnswer(head); err == nil {
			t.Errorf("%s is taken as %+v", name, a)
		}
	}
}

func TestTrailersBothWays(t *testing.T) {
	h := AnswerTrailers(encode("grpc-status", "0", "x", "1", "X", "2", "content-length", "5", "set-cookie", "a=b", "transfer-encoding", "chunked", "x-forwarded-for", "1", "ruedo-runner", "me"))
	if want := (http.Header{"Grpc-Status": {"0"}, "X": {"1", "2"}}); !equal(h, want) {
		t.Error(h)
	}
	if h := AnswerTrailers([]byte("broken")); len(h) != 0 {
		t.Error(h)
	}
	fields := parse(t, Trailers(http.Header{"X-Sum": {"7"}, "Content-Length": {"1"}, "X-Bad": {"a\nb"}}))
	if len(fields) != 1 || fields[0] != [2]string{"x-sum", "7"} {
		t.Error(fields)
	}
}

func equal(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name, values := range a {
		if !slices.Equal(values, b[name]) {
			return false
		}
	}
	return true
}

// What a service writes comes out of a message of HTTP as it was read from the head,
// and nothing else does.
func FuzzAnswer(f *testing.F) {
	f.Add(encode(":status", "200", "content-type", "text/plain", "x", "a\tb"))
	f.Add(encode("x", "1\r\ny: 2"))
	f.Add(encode("content-length", "3", "Content-Length", "4", "connection", "content-length"))
	f.Add(encode(":status", "101", "upgrade", "websocket"))
	f.Fuzz(func(t *testing.T, head []byte) {
		a, err := ParseAnswer(head)
		if err != nil {
			return
		}
		if a.Status < 100 || a.Status > 599 {
			t.Errorf("status %d", a.Status)
		}
		for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Te", "Proxy-Connection", "Ruedo-Call-Id"} {
			if a.Header[name] != nil {
				t.Errorf("%s passes", name)
			}
		}
		if length := a.Header["Content-Length"]; length != nil && (len(length) != 1 || strings.Trim(length[0], "0123456789") != "" || length[0] == "") {
			t.Errorf("Content-Length %q", length)
		}
		var wire bytes.Buffer
		if err := a.Header.Write(&wire); err != nil {
			t.Fatal(err)
		}
		wire.WriteString("\r\nbody")
		in := textproto.NewReader(bufio.NewReader(&wire))
		got, err := in.ReadMIMEHeader()
		if err != nil {
			t.Fatalf("%q: %v", a.Header, err)
		}
		want := make(http.Header)
		for name, values := range a.Header {
			for _, v := range values {
				want[name] = append(want[name], textproto.TrimString(v))
			}
		}
		if !equal(http.Header(got), want) {
			t.Errorf("%q is read as %q", want, got)
		}
		if line, _ := in.ReadLine(); line != "body" {
			t.Errorf("the body begins with %q", line)
		}
		if a, err := ParseAnswer(encodeHeader(a.Header)); err != nil || !equal(a.Header, http.Header(want)) && !equal(trimmed(a.Header), want) {
			t.Errorf("%q is not read back: %q %v", want, a.Header, err)
		}
	})
}

func trimmed(h http.Header) http.Header {
	t := make(http.Header)
	for name, values := range h {
		for _, v := range values {
			t[name] = append(t[name], textproto.TrimString(v))
		}
	}
	return t
}

func encodeHeader(h http.Header) (head []byte) {
	for name, values := range h {
		for _, v := range values {
			head = abi.AppendField(head, name, v)
		}
	}
	return head
}

// No caller can set what only a core may set, whatever the request looks like.
func FuzzRequest(f *testing.F) {
	f.Add("GET /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1\r\nConnection: x-forwarded-for, te\r\nTe: trailers\r\n\r\n")
	f.Add("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\nx_forwarded_for: 1\r\n\r\n0\r\nX-A: 1\r\n\r\n")
	f.Add("GET http://a/b HTTP/1.1\r\nHost: c\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\n\r\n")
	f.Fuzz(func(t *testing.T, wire string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.7:80"
		fields := parse(t, Request(r, Origin{Path: r.URL.RequestURI(), Prefix: "/svc/x"}))
		for i, f := range fields {
			name := f[0]
			if strings.ContainsAny(f[1], "\r\n\x00") || strings.ContainsAny(name, "\r\n\x00 ") || name != strings.ToLower(name) {
				t.Errorf("field %q", f)
			}
			if strings.HasPrefix(name, ":") && i > 6 {
				t.Errorf("%s comes after fields", name)
			}
			for _, bad := range []string{"keep-alive", "transfer-encoding", "connection", "upgrade", "forwarded", "authorization", "cookie"} {
				if name == bad {
					t.Errorf("%s passes", name)
				}
			}
			if strings.HasPrefix(name, "ruedo-") || strings.HasPrefix(name, "proxy-") || name == "te" && f[1] != "trailers" {
				t.Errorf("%q passes", f)
			}
		}
		if got := values(fields, "x-forwarded-for"); !slices.Equal(got, []string{"192.0.2.7"}) {
			t.Errorf("x-forwarded-for %q", got)
		}
		if got := values(fields, ":method"); !slices.Equal(got, []string{r.Method}) {
			t.Errorf("method %q", got)
		}
	})
}
