//go:build hostile

package hostile

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// maxError is the largest size of an error response in bytes: header, body and
// trailer.
const maxError = 16 << 10

// failed checks that a request was refused with one of the codes, in a small
// response.
func (b *bout) failed(what string, r reply, codes ...connect.Code) {
	if r.err == nil {
		b.Errorf("%s: it was taken; want one of %v", what, codes)
		return
	}
	b.clean(what, everything(r.err))
	b.told(r.err)
	if r.size > maxError && connect.IsWireError(r.err) {
		b.Errorf("%s: the error has %d bytes, the limit is %d: %.200v", what, r.size, maxError, r.err)
	}
	if code := connect.CodeOf(r.err); !slices.Contains(codes, code) {
		b.Errorf("%s: got %s, want one of %v: %.300v", what, code, codes, r.err)
	}
}

// inflationRow is row 41: to every procedure, in every protocol, a message of
// 1 MB that inflates to 1 GB.
func inflationRow() *row {
	const (
		// perRequest is the CPU time that inflating up to the largest message can
		// take, including overhead.
		perRequest = 100 * time.Millisecond
		// othersShare is how much of a CPU the victim and the cluster itself use.
		othersShare = 0.3
	)
	bomb := sync.OnceValue(func() []byte { return gzipBomb(15) })
	// Who has no lane may not stream, whatever it sends.
	refusals := []connect.Code{connect.CodeResourceExhausted, connect.CodeInvalidArgument, connect.CodeUnimplemented, connect.CodeFailedPrecondition, connect.CodePermissionDenied}
	r := &row{number: 41, name: "gzip bombs to every procedure, in every protocol", once: true,
		setup: func(*bout) { bomb() },
		// A few messages, and the garbage that the collector lets pile up.
		peakCore: 256 << 20,
	}
	// measured bounds the CPU time of the core for a number of requests.
	measured := func(b *bout, what string, requests func() int) {
		began, used := time.Now(), b.core.cpu()
		n := requests()
		took, used := time.Since(began), b.core.cpu()-used
		if limit := time.Duration(n)*perRequest + time.Duration(float64(took)*othersShare); used > limit {
			b.tooLate("%s: the core used %s of CPU for %d bombs in %s, the limit is %s", what, ms(used), n, ms(took), ms(limit))
		}
		b.note("%s: %d bombs, %s of CPU, %s", what, n, ms(used), ms(took))
	}
	r.moves = []move{{"messages", func(b *bout) {
		p := newPeer(b.url, true)
		defer p.close()
		for _, proc := range b.mustProcedures() {
			measured(b, proc.path, func() int {
				list := speeches(true)
				for _, s := range list {
					ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
					r := p.call(ctx, proc, s, nil, bomb())
					cancel()
					if r.err != nil && strings.Contains(r.err.Error(), "415 Unsupported Media Type") {
						continue // not every service supports every codec
					}
					b.failed(proc.path+" "+s.String(), r, refusals...)
				}
				return len(list)
			})
		}
	}}, {"in the query of a GET", func(b *bout) {
		// As much as fits in a header: 60 KB of base64, 45 MB inflated.
		small := base64.RawURLEncoding.EncodeToString(gzipped(make([]byte, 44<<20)))
		for _, proc := range b.mustProcedures() {
			if !proc.safe {
				continue
			}
			measured(b, proc.path, func() int {
				query := "?connect=v1&encoding=proto&compression=gzip&base64=1&message=" + small
				err := b.plain(http.MethodGet, proc.path+query, nil, nil)
				b.failed("GET "+proc.path, reply{err: err}, refusals...)
				return 1
			})
		}
	}}, {"as the body of a call", func(b *bout) {
		// The service did not ask for inflating: to it this is an input of that many
		// bytes.
		measured(b, "/call/", func() int {
			err := b.plain(http.MethodPost, "/call/"+victimName, http.Header{"Content-Encoding": {"gzip"}}, strings.NewReader(string(bomb())))
			if err != nil {
				b.failed("/call/", reply{err: err}, refusals...)
			}
			return 1
		})
	}}}
	return r
}

// plain makes a request of plain HTTP on a connection of its own and returns
// the error in the response. Every error response must be small.
func (b *bout) plain(method, path string, header http.Header, body io.Reader) error {
	a, err := b.answer(method, path, header, body)
	if err != nil {
		return err
	}
	return a.err
}

// said is a response of plain HTTP, as a peer sees it.
type said struct {
	status int
	header http.Header
	body   []byte
	// err is the error in the body if the request failed.
	err error
}

// answer makes a request of plain HTTP.
func (b *bout) answer(method, path string, header http.Header, body io.Reader) (*said, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	if err != nil {
		return nil, err
	}
	copyHeader(req.Header, header)
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	p := newPeer(b.url, false)
	defer p.close()
	res, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return b.heard(fmt.Sprintf("%.20s %s", method, tail(path, 60)), res)
}

// heard reads a response to its end.
func (b *bout) heard(what string, res *http.Response) (*said, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	a := &said{status: res.StatusCode, header: res.Header, body: body}
	if a.err = errorOf(res.StatusCode, res.Header, body); a.err != nil {
		if n := len(body) + int(headerSize(res.Header)); n > maxError {
			b.Errorf("%s: the error has %d bytes, the limit is %d: %.200q", what, n, maxError, body)
		}
		b.clean(what, everything(a.err))
		b.told(a.err)
	}
	return a, nil
}

// reasonIs reports whether an error has one of the reasons.
func reasonIs(err error, reasons ...fault.Reason) bool {
	return err != nil && slices.Contains(reasons, faultrpc.FromError(err).Reason)
}
