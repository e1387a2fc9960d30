package front

import (
	"bufio"
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// plainRoutes are the routes of these tests.
func plainRoutes() routes {
	h := http.NotFoundHandler()
	return routes{prefix: "/call/", named: h, procedures: map[string]http.Handler{"/a.v1.B/C": h}}
}

// What is plain means the same to net/http, which reads as many bytes of it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a@2 HTTP/1.1\r\nhost:[::1]:80\r\ncontent-length:0\r\nConnection: Keep-Alive\r\nx: 1\r\nX:  2 \r\n\r\n",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n folded: 1\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost : a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\nContent-Length: 3\r\n\r\nabc",
		"POST /call/../a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a:b:c\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\n\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n: x\r\n\r\nabc",
		"POST /call/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nCookie: a=b; c=d\r\n\r\nabc",
		"POST /a.v1.B/C HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Type: application/json\r\n\r\nabc",
	} {
		f.Add([]byte(seed))
	}
	all := plainRoutes()
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		if !h.parse(b, all) {
			return
		}
		in := bytes.NewReader(b)
		r := bufio.NewReaderSize(in, 16<<10)
		want, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b, err)
		}
		if size := len(b) - in.Len() - r.Buffered(); size != h.size {
			t.Errorf("%q: the head has %d bytes, net/http reads %d", b, h.size, size)
		}
		got := &http.Request{Method: "POST", Host: h.host, RequestURI: h.path, ContentLength: int64(h.length), Header: h.fields}
		if want.Method != got.Method || want.Host != got.Host || want.RequestURI != got.RequestURI || want.ContentLength != got.ContentLength ||
			want.URL.Path != h.path || want.URL.RawPath != "" || want.URL.RawQuery != "" || want.URL.Host != "" || want.Close || want.TransferEncoding != nil || want.Trailer != nil {
			t.Errorf("%q: %+v, net/http reads %+v", b, h, want)
		}
		if !reflect.DeepEqual(want.Header, got.Header) {
			t.Errorf("%q: the header is %v, net/http reads %v", b, got.Header, want.Header)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	request := []byte("POST /call/echo HTTP/1.1\r\nHost: 127.0.0.1:7833\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 20\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n" + strings.Repeat("x", 20))
	b.ReportAllocs()
	var h head
	to := plainRoutes()
	for b.Loop() {
		if !h.parse(request, to) {
			b.Fatal("it is plain")
		}
	}
}
