package stream

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// head encodes pairs.
func head(pairs ...string) []byte {
	var b []byte
	for n := 0; n < len(pairs); n += 2 {
		b = abi.AppendField(b, pairs[n], pairs[n+1])
	}
	return b
}

func TestCheckResponse(t *testing.T) {
	for _, tt := range []struct {
		name string
		head []byte
		want int // status; 0 is an error
	}{
		{"nothing", nil, 200},
		{"a status", head(":status", "404", "X-A", "b", "content-Type", "text/plain; x=ü"), 404},
		{"informational", head(":status", "103", "link", "</a>"), 103},
		{"status twice", head(":status", "200", ":status", "200"), 0},
		{"too low", head(":status", "099"), 0},
		{"too high", head(":status", "600"), 0},
		{"not a number", head(":status", "2x0"), 0},
		{"a sign", head(":status", "+20"), 0},
		{"another colon", head(":path", "/"), 0},
		{"no name", head("", "x"), 0},
		{"a space", head("a b", "x"), 0},
		{"CRLF in a value", head("a", "b\r\nset-cookie: x"), 0},
		{"LF in a name", head("a\nb", "c"), 0},
		{"NUL", head("a", "b\x00"), 0},
		{"breaks off", head("a", "b")[:9], 0},
		{"a length of 4 GiB", []byte("\xff\xff\xff\xffab"), 0},
		{"too many fields", head(strings.Split(strings.Repeat("a,b,", maxFields)+"a,b", ",")...), 0},
		{"too large", head("a", strings.Repeat("b", MaxHead)), 0},
	} {
		r, err := CheckResponse(tt.head)
		if (err == nil) != (tt.want > 0) || err == nil && r.Status != tt.want {
			t.Errorf("%s: got %+v, %v", tt.name, r, err)
		}
	}
	if r, _ := CheckResponse(head("Content-Type", "text/css")); r.ContentType != "text/css" || r.Informational() {
		t.Errorf("got %+v", r)
	}
	for status, want := range map[int]bool{100: true, 101: false, 103: true, 200: false} {
		if got := (Response{Status: status}).Informational(); got != want {
			t.Errorf("%d is informational: %t", status, got)
		}
	}
}

func TestCheckTrailers(t *testing.T) {
	if err := CheckTrailers(head("Grpc-Status", "0", "grpc-message", "")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"Content-Length", "transfer-encoding", "Host", "TE", "Trailer", "Set-Cookie", "If-Match", "authorization", ":status", "a\r\nb", ""} {
		if err := CheckTrailers(head("ok", "1", name, "x")); err != ErrHeadInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestParseOutbound(t *testing.T) {
	for _, tt := range []struct {
		name string
		head []byte
		ok   bool
	}{
		{"GET", head(":url", "https://example.com/a?b=c", "accept", "*/*"), true},
		{"POST", head(":url", "http://example.com:80", ":method", "POST", ":length", "-1"), true},
		{"TCP", head(":url", "tcp://10.0.0.1:22"), true},
		{"UDP over IPv6", head(":url", "udp://[2001:db8::1]:161"), true},
		{"TLS", head(":url", "tls://db:5432"), true},
		{"no URL", head("accept", "*/*"), false},
		{"two URLs", head(":url", "http://a", ":url", "http://b"), false},
		{"no host", head(":url", "http:///a"), false},
		{"opaque", head(":url", "http:a"), false},
		{"a file", head(":url", "file://host/etc/passwd"), false},
		{"a control character", head(":url", "http://a/\r\nb"), false},
		{"a method that is not", head(":url", "http://a", ":method", "GET /\r\n"), false},
		{"a method with a space", head(":url", "http://a", ":method", "GET /"), false},
		{"a length below -1", head(":url", "http://a", ":length", "-2"), false},
		{"a length that overflows", head(":url", "http://a", ":length", "99999999999999999999"), false},
		{"an unknown colon", head(":url", "http://a", ":status", "200"), false},
		{"TCP without a port", head(":url", "tcp://a"), false},
		{"TCP with a path", head(":url", "tcp://a:1/b"), false},
		{"TCP with a query", head(":url", "tcp://a:1?b"), false},
		{"TCP with a user", head(":url", "tcp://u@a:1"), false},
		{"TCP with fields", head(":url", "tcp://a:1", "a", "b"), false},
		{"a long URL", head(":url", "http://a/"+strings.Repeat("b", maxURL)), false},
	} {
		o, err := ParseOutbound(tt.head)
		if (err == nil) != tt.ok || err == nil && (o.URL.Host == "" || o.Method == "") {
			t.Errorf("%s: got %+v, %v", tt.name, o, err)
		}
	}
}

// FuzzHead reads any bytes as any head. What is accepted has no ends of lines and
// no field that HTTP would read as another one.
func FuzzHead(f *testing.F) {
	f.Add(head(":status", "200", "a", "b"))
	f.Add(head(":url", "http://a/b", ":length", "5", "c", "d"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(what string, err error) {
			for rest := b; err == nil && len(rest) > 0; {
				name, value, next, ok := abi.NextField(rest)
				if !ok || strings.ContainsAny(name+value, "\r\n\x00") || name == "" || strings.Contains(name[1:], ":") {
					t.Errorf("%s accepts %q: %q", what, name, value)
					return
				}
				rest = next
			}
		}
		r, err := CheckResponse(b)
		if check("an answer", err); err == nil && (r.Status < 100 || r.Status > 599) {
			t.Errorf("status %d", r.Status)
		}
		check("trailers", CheckTrailers(b))
		o, err := ParseOutbound(b)
		if check("a request", err); err == nil && (o.URL.Hostname() == "" || o.Length < -1 || o.Method == "") {
			t.Errorf("got %+v", o)
		}
	})
}
