package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// RoundTrip makes a request as package web says.
func RoundTrip(h host.Host, req *http.Request) (*http.Response, error) {
	up := &upload{body: req.Body}
	length := req.ContentLength
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		length = 0
	case length <= 0:
		length = -1
	}
	head, err := requestHead(req, length)
	if err != nil {
		up.close()
		return nil, err
	}
	var begin func(*host.Stream)
	if length != 0 {
		begin = func(s *host.Stream) { go up.run(s) }
	}
	res := &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Request: req}
	s, fields, stop, err := open(req.Context(), h, head, req.URL.Host, begin, func(key, value string) {
		if key == abi.HeadStatus {
			res.StatusCode, _ = strconv.Atoi(value)
		}
	})
	if err == nil && (res.StatusCode < 100 || res.StatusCode > 999) {
		stop()
		_ = s.Close()
		err = errors.New("web: the answer has no status")
	}
	if err != nil {
		up.close()
		return nil, errors.Join(up.failure(), err)
	}
	res.Status = fmt.Sprintf("%03d %s", res.StatusCode, http.StatusText(res.StatusCode))
	res.Header = fields
	a := &answerBody{stream: s, ctx: req.Context(), stop: stop, up: up, res: res}
	a.frame()
	return res, nil
}

// requestHead returns the head of an outbound request.
func requestHead(req *http.Request, length int64) ([]byte, error) {
	switch {
	case req.URL == nil:
		return nil, errors.New("web: the request has no URL")
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return nil, fmt.Errorf("web: unsupported scheme %q: use http or https, or Dial", req.URL.Scheme)
	case req.URL.Host == "":
		return nil, errors.New("web: the URL of the request has no host")
	case len(req.Trailer) > 0:
		return nil, errors.New("web: a request cannot have trailers")
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	if !host.IsToken(method) {
		return nil, fmt.Errorf("web: %q is not a method", method)
	}
	for name, values := range req.Header {
		if !host.IsToken(name) {
			return nil, fmt.Errorf("web: %q is not the name of a header field", name)
		}
		for _, v := range values {
			if _, ok := host.FieldValue(v); !ok || strings.ContainsAny(v, "\r\n") {
				return nil, fmt.Errorf("web: the value of the header field %s has control characters", name)
			}
		}
	}
	to := *req.URL
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	head := abi.AppendField(make([]byte, 0, 256), abi.HeadMethod, method)
	head = abi.AppendField(head, abi.HeadURL, to.String())
	head = abi.AppendField(head, abi.HeadLength, strconv.FormatInt(length, 10))
	return host.AppendFields(head, req.Header, nil), nil
}

// upload sends the body of a request. It ends when the body or the stream does.
type upload struct {
	body io.ReadCloser
	once sync.Once

	mu  sync.Mutex
	err error // of the body
}

func (u *upload) run(s *host.Stream) {
	defer u.close()
	buf := make([]byte, 16<<10)
	for {
		n, err := u.body.Read(buf)
		if n > 0 {
			if _, err := s.Write(buf[:n]); err != nil {
				return // the other side does not want more, which its answer explains
			}
		}
		if err == io.EOF {
			_ = s.CloseSide(host.WriteSide)
			return
		}
		if err != nil {
			u.mu.Lock()
			u.err = err
			u.mu.Unlock()
			_ = s.Close() // so that the other side does not take it for the end
			return
		}
	}
}

// close closes the body, which RoundTrip has to do in any case.
func (u *upload) close() {
	u.once.Do(func() {
		if u.body != nil {
			_ = u.body.Close()
		}
	})
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// answerBody is the body of an outbound request's answer.
type answerBody struct {
	stream *host.Stream
	ctx    context.Context
	stop   func() bool
	up     *upload
	res    *http.Response
	left   int64 // bytes that are still to come, or -1
	end    error
}

// frame sets what the head of the answer says of its body.
func (a *answerBody) frame() {
	res := a.res
	if n, err := strconv.ParseInt(res.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		res.ContentLength = n
	}
	if names := res.Header["Trailer"]; names != nil {
		res.Trailer = make(http.Header)
		for _, list := range names {
			host.EachElement(list, func(name string) { res.Trailer[textproto.CanonicalMIMEHeaderKey(name)] = nil })
		}
		delete(res.Header, "Trailer")
	}
	a.left = res.ContentLength
	res.Body = a
	if res.Request.Method == http.MethodHead || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified {
		if res.Request.Method != http.MethodHead {
			res.ContentLength = 0
		}
		_ = a.Close()
		res.Body = http.NoBody
	}
}

func (a *answerBody) Read(p []byte) (int, error) {
	if a.end != nil {
		return 0, a.end
	}
	n, err := a.stream.Read(p)
	if a.left >= 0 {
		a.left -= int64(n)
	}
	if err == nil {
		return n, nil
	}
	switch err = host.ReadError(err); {
	case a.ctx.Err() != nil:
		err = a.ctx.Err()
	case a.up.failure() != nil:
		err = a.up.failure()
	case err != io.EOF:
	case a.left > 0:
		err = io.ErrUnexpectedEOF
	default:
		trailers, failed := a.stream.Trailers()
		if failed != nil {
			err = host.ReadError(failed)
		}
		for name, values := range trailers {
			if a.res.Trailer == nil {
				a.res.Trailer = make(http.Header)
			}
			a.res.Trailer[name] = values
		}
	}
	a.end = err
	return n, err
}

// Close ends the request, also its body if that is still being sent.
func (a *answerBody) Close() error {
	a.stop()
	err := a.stream.Close()
	a.up.close()
	if err = host.Cause(err); errors.Is(err, os.ErrClosed) {
		return nil // closed already
	}
	return err
}
