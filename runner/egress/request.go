package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// ours are fields that say how a message gets from hop to hop, which is the host's
// work. They are dropped in both directions.
var ours = []string{
	"Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// drop removes the fields that are ours, and those that the message itself says
// are for one hop.
func drop(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range ours {
		h.Del(name)
	}
}

// request makes an HTTP request for the guest.
func (c *Call) request(ctx context.Context, t *target, o *stream.Outbound, p *stream.Peer) error {
	body := &requestBody{call: c, ctx: ctx, peer: p, left: o.Length}
	req, err := outgoing(ctx, t, o, body)
	if err != nil {
		return err
	}
	if req.Body == nil {
		p.CloseRead()
	}
	res, err := c.policy.transport(t).RoundTrip(req)
	if err != nil {
		return body.cause(err)
	}
	defer res.Body.Close()
	p.Head(answerHead(res))
	switch err := c.down(res.Body, p); {
	case err == errStopped:
		return nil
	case err != nil:
		return body.cause(err)
	}
	p.Trailers(fields(nil, res.Trailer))
	p.CloseWrite()
	return nil
}

// outgoing returns the request that is sent.
func outgoing(ctx context.Context, t *target, o *stream.Outbound, body *requestBody) (*http.Request, error) {
	h := make(http.Header, len(o.Fields))
	for _, f := range o.Fields {
		if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return nil, fault.New(fault.EgressFailed, "%s: a field of the request is not valid", t)
		}
		h.Add(f.Name, f.Value)
	}
	trailers := httpguts.HeaderValuesContainsToken(h["Te"], "trailers") // gRPC needs it
	drop(h)
	if trailers {
		h.Set("Te", "trailers")
	}
	u := *o.URL
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.Host = t.HostPort()
	if t.Port == map[string]uint16{grant.HTTP: 80, grant.HTTPS: 443}[t.Scheme] {
		u.Host = strings.TrimSuffix(u.Host, ":"+strconv.Itoa(int(t.Port)))
	}
	req := (&http.Request{Method: t.Method, URL: &u, Host: u.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if user := o.URL.User; user != nil && h.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	if o.Length != 0 {
		req.Body, req.ContentLength = body, o.Length
	}
	return req, nil
}

// requestBody is the body of a request, which the guest writes.
type requestBody struct {
	call *Call
	ctx  context.Context
	peer *stream.Peer
	left int64 // bytes; less than 0 if the guest does not say
	err  atomic.Pointer[error]
}

func (b *requestBody) Read(to []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.left > 0 {
		to = to[:min(int64(len(to)), b.left)]
	}
	n, err := b.peer.Read(to)
	if err == nil {
		err = b.call.sends(n)
	}
	if b.left > 0 {
		if b.left -= int64(n); b.left == 0 {
			b.peer.CloseRead() // the rest would never be sent
		}
	}
	switch {
	case err == io.EOF && b.ctx.Err() != nil:
		err = b.ctx.Err() // closed, not ended: the request must not look complete
	case err == io.EOF && b.left > 0:
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		b.err.Store(&err)
	}
	return n, err
}

func (b *requestBody) Close() error {
	b.peer.CloseRead()
	return nil
}

// cause returns why a request failed: its own body, if that failed.
func (b *requestBody) cause(err error) error {
	if own := b.err.Load(); own != nil {
		return *own
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// answerHead returns the head of an answer as package abi encodes it.
func answerHead(res *http.Response) []byte {
	head := abi.AppendField(nil, abi.HeadStatus, fmt.Sprintf("%03d", res.StatusCode))
	length := res.Header.Get("Content-Length")
	drop(res.Header)
	if length != "" {
		head = abi.AppendField(head, "content-length", length)
	}
	if names := slices.Sorted(maps.Keys(res.Trailer)); len(names) > 0 {
		head = abi.AppendField(head, "trailer", strings.Join(names, ", "))
	}
	return fields(head, res.Header)
}

// fields appends the fields of h.
func fields(head []byte, h http.Header) []byte {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			head = abi.AppendField(head, strings.ToLower(name), v)
		}
	}
	return head
}
