package host

import (
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

func TestFieldsOfAHead(t *testing.T) {
	var head []byte
	for _, f := range [][2]string{{":method", "GET"}, {"accept", "a"}, {"x-b", "1"}, {"accept", "b"}, {"x-b", ""}, {":new", "?"}, {"accept", "c"}, {"x-c", "only"}} {
		head = abi.AppendField(head, f[0], f[1])
	}
	var control []string
	got, err := ParseFields(string(head), func(k, v string) { control = append(control, k+v) })
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got["Accept"], ",") != "a,b,c" || strings.Join(got["X-B"], ",") != "1," || got.Get("X-C") != "only" || len(got) != 3 {
		t.Errorf("got %q", got)
	}
	if strings.Join(control, " ") != ":methodGET :new?" {
		t.Errorf("got %q", control)
	}
	for n := 1; n < len(head); n++ {
		if _, err := ParseFields(string(head[:n]), nil); n < 4 && err == nil {
			t.Errorf("%d bytes of a head are taken", n)
		}
	}
}

func TestNamesAreCanonical(t *testing.T) {
	names := []string{
		"accept", "accept-encoding", "accept-language", "cache-control", "connect-accept-encoding", "connect-protocol-version", "connect-timeout-ms",
		"content-encoding", "content-length", "content-type", "cookie", "grpc-accept-encoding", "grpc-timeout", "origin", "referer", "te", "user-agent",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "x-other", "Accept", "aCCEPT", "not a name", "",
	}
	for _, name := range names {
		if got, want := canonical(name), textproto.CanonicalMIMEHeaderKey(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func TestFieldsThatAreWritten(t *testing.T) {
	head := AppendFields(nil, http.Header{
		"X-A": {"a\r\nX-Forged: 1", " b\t", "c\x00d", "é"}, "bad name": {"x"}, "": {"x"}, "X\n": {"x"}, "X-Skip": {"x"},
	}, func(name string) bool { return name == "X-Skip" })
	got, err := ParseFields(string(head), nil)
	if err != nil || len(got) != 1 || strings.Join(got["X-A"], "|") != "a  X-Forged: 1|b|é" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTrailersThatAreNot(t *testing.T) {
	for _, name := range []string{"Content-Length", "If-None-Match", "Transfer-Encoding", "Set-Cookie", "Host", "bad name", ""} {
		if ValidTrailer(name) {
			t.Errorf("%s can be a trailer", name)
		}
	}
	if !ValidTrailer("Grpc-Status") {
		t.Error("Grpc-Status cannot be a trailer")
	}
}
