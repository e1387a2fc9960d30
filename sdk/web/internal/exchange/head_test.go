package exchange

import (
	"bytes"
	"net/http"
	"strconv"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

func FuzzHeadOfTheHost(f *testing.F) {
	f.Add(string(abi.AppendField(abi.AppendField(nil, ":path", "/"), "a", "b")))
	f.Add("\xff\xff\xff\xff")
	f.Add("\x01\x00\x00\x00a\x00\x00\x00")
	f.Fuzz(func(t *testing.T, head string) {
		header, err := host.ParseFields(head, nil)
		// What is understood is what the contract says it is.
		rest, n := []byte(head), 0
		for {
			_, _, next, ok := abi.NextField(rest)
			if !ok {
				break
			}
			rest = next
			n++
		}
		if (err == nil) != (len(rest) == 0) {
			t.Errorf("%q: %v, and %d bytes are left", head, err, len(rest))
		}
		values := 0
		for _, vs := range header {
			values += len(vs)
		}
		if values > n {
			t.Errorf("%q: %d values of %d fields", head, values, n)
		}
		// Whatever a handler then answers with them can be read back.
		if _, err := host.ParseFields(string(host.AppendFields(nil, header, nil)), nil); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		// A request of it is one, or says why not.
		h := &rawHost{head: []byte(head)}
		result := answer(h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(r.URL.Path + r.Method + r.Host))
			if r.Header == nil || r.Body == nil {
				t.Errorf("%q: %+v", head, r)
			}
		}))
		if (result != 0) != (h.failure != "") || result == 0 && h.answered == nil {
			t.Errorf("%q: result %d, %q", head, result, h.failure)
		}
	})
}

// answer serves one exchange.
func answer(h host.Host, handler http.Handler) int32 { return New(h, handler).Answer() }

// What a handler keeps of a request stays what it was, whether the next exchange was made
// beforehand or not.
func TestExchangesInTheSameMemory(t *testing.T) {
	var kept []*http.Request
	raw := &rawHost{}
	s := New(raw, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept = append(kept, r)
		w.Header().Set("X-Path", r.URL.Path)
		_, _ = w.Write([]byte(r.URL.Path))
	}))
	for _, id := range []string{"", "", "c-1", "c-2", "c-3"} {
		path := "/" + strconv.Itoa(len(kept))
		raw.head = abi.AppendField(abi.AppendField(nil, abi.HeadPath, path), "X-Path", path)
		if id != "" {
			raw.head = abi.AppendField(raw.head, abi.HeadCallID, id)
		}
		raw.answered = nil
		if result := s.Answer(); result != 0 || !bytes.Contains(raw.answered, []byte(path)) {
			t.Errorf("%s: result %d, %q", path, result, raw.answered)
		}
		if prepared := s.next != nil; prepared != (id == "") {
			t.Errorf("after the call %q the next exchange is prepared: %t", id, prepared)
		}
	}
	for n, r := range kept {
		if path := "/" + strconv.Itoa(n); r.URL.Path != path || len(r.Header) != 1 || r.Header.Get("X-Path") != path {
			t.Errorf("%s: %s %v", path, r.URL, r.Header)
		}
	}
}

// rawHost is a host of a request without a body.
type rawHost struct {
	host.Host
	head, answered []byte
	failure        string
}

func (h *rawHost) HeadRead(p []byte) int32 {
	n := copy(p, h.head)
	h.head = h.head[n:]
	return int32(n)
}

func (h *rawHost) HeadWrite(head []byte) int32 {
	h.answered = append(h.answered, head...)
	return int32(len(head))
}

func (h *rawHost) InputSize() int64              { return 0 }
func (h *rawHost) InputRead([]byte) int32        { return 0 }
func (h *rawHost) OutputWrite(p []byte) int32    { return int32(len(p)) }
func (h *rawHost) Fail(_ uint32, failure string) { h.failure = failure }
func (h *rawHost) BodyOpen() int32               { return abi.ErrState }
func (h *rawHost) TrailersWrite(p []byte) int32  { return int32(len(p)) }
