//go:build hostile

package hostile

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// request is one that is sent as it is, in any protocol.
type request struct {
	method, path string
	header       http.Header
	body         []byte
}

// request returns the request with which a client that speaks like this sends a
// message to a procedure.
func (p procedure) request(s speech, message []byte) request {
	kind, body := "application/"+s.codec, message
	if s.protocol != "connect" {
		kind = "application/" + s.protocol + "+" + s.codec
	} else if p.stream != connect.StreamTypeUnary {
		kind = "application/connect+" + s.codec
	}
	if s.protocol != "connect" || p.stream != connect.StreamTypeUnary {
		body = envelope(0, message)
	}
	return request{http.MethodPost, p.path, http.Header{"Content-Type": {kind}, "Te": {"trailers"}}, body}
}

// rule returns what a caller needs for a procedure; nil if that is not said beside it.
func (p procedure) rule() *access.Rule {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(p.path, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	rule, _ := proto.GetExtension(d.Options(), ruedov1.E_Access).(*access.Rule)
	return rule
}

// response is an answer, without what differs between two that are equal.
type response struct {
	status                int
	header, body, trailer string
	// hidden are the details of an error in protobuf's encoding, where the order of
	// the facts is random.
	hidden string
}

// same reports whether two answers are equal.
func (r response) same(o response) bool {
	r.hidden, o.hidden = "", ""
	return r == o
}

func (r response) String() string {
	return fmt.Sprintf("%d, header %s, trailer %s, %.300q", r.status, r.header, r.trailer, r.body)
}

// everything returns all texts in an answer.
func (r response) everything() string { return r.header + r.body + r.trailer + r.hidden }

// detail matches the encoded details of an error.
var detail = regexp.MustCompile(`"value":"([^"]*)",?`)

// send sends a request and reads the answer to its end, or to that of ctx.
func (b *bout) send(ctx context.Context, h *http.Client, r request) (response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, b.url+r.path, strings.NewReader(string(r.body)))
	if err != nil {
		return response{}, err
	}
	req.Header = r.header
	res, err := h.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil && ctx.Err() == nil {
		return response{}, err
	}
	got := response{status: res.StatusCode, body: string(body)}
	for _, m := range detail.FindAllStringSubmatch(got.body, -1) {
		got.hide(m[1])
	}
	got.body = detail.ReplaceAllString(got.body, "")
	got.header, got.trailer = got.fields(res.Header), got.fields(res.Trailer)
	return got, nil
}

func (r *response) hide(encoded string) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err == nil {
		r.hidden += string(raw)
	}
}

// fields returns the fields of a header as text.
func (r *response) fields(h http.Header) string {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(h)) {
		switch k {
		case "Date":
			continue
		case "Grpc-Status-Details-Bin":
			r.hide(h.Get(k))
			fmt.Fprintf(&text, "%s; ", k)
			continue
		}
		fmt.Fprintf(&text, "%s: %s; ", k, h.Get(k))
	}
	return text.String()
}

// stranger returns a client with connections of its own, from an address of this
// machine that no other client has: whoever is refused is limited by address.
func (b *bout) stranger(http2 bool) *peer {
	n := b.serial.Add(1)
	return b.from(net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)), http2)
}

// from returns a client with connections of its own, from an address.
func (b *bout) from(address net.IP, http2 bool) *peer {
	p := newPeer(b.url, http2)
	d := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: address}}
	p.transport.DialContext = d.DialContext
	return p
}

// once sends one request as a stranger.
func (b *bout) once(http2 bool, r request) (response, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	p := b.stranger(http2)
	defer p.close()
	return b.send(ctx, p.http, r)
}
