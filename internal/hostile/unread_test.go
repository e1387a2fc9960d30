//go:build hostile

package hostile

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

const (
	// unreadWithin is how soon the core must end an answer that nobody reads.
	unreadWithin = 35 * time.Second
	// largeOutput is the size of the large service's answer, in bytes.
	largeOutput = 4_500_000
	// atATime is how many calls of it run at the same time.
	atATime = 4
)

// stalled is what a peer sends that does not accept a byte of any answer.
var stalled = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}

// large is a guest that answers with n bytes of text.
func large(n int32) []byte {
	return w.FunctionWith([]string{outputWrite}, w.I32(n>>16+1), opMemoryGrow, w.Drop(), w.I32(0), w.I32('x'), w.I32(n), opMemoryFill,
		w.CallWith(0, 0, n), w.Drop(), w.I32(0)).Bytes()
}

// mustPublishLarge publishes the large service.
func (b *bout) mustPublishLarge(service string) {
	l := &ruedov1.Limits{OutputBytes: 5 << 20}
	if err := b.publish(b.ctx, service, b.unique(large(largeOutput)), l); err != nil {
		b.Errorf("publish %s: %v", service, err)
	}
}

// unreadRow is row 42: answers that nobody reads.
func unreadRow() *row {
	// opened opens connections, each with a number of streams with requests.
	opened := func(b *bout, connections, streams int, request func(f *frames, i int) error) []*frames {
		var list []*frames
		for range connections {
			f, err := b.frames(stalled)
			if err != nil {
				b.Errorf("dial: %v", err)
				break
			}
			list = append(list, f)
			for i := range streams {
				if err := request(f, i); err != nil {
					break // the core may have refused more
				}
				// Few calls at the same time: this row does not flood the runners.
				testkit.Poll(2*time.Second, func() bool { return f.silent() < atATime })
			}
		}
		return list
	}
	ended := func(b *bout, list []*frames) {
		left := func() int {
			n := 0
			for _, f := range list {
				n += f.left()
			}
			return n
		}
		began := time.Now()
		if !testkit.Poll(unreadWithin, func() bool { return left() == 0 || !b.core.alive() }) {
			b.Errorf("%d streams whose answer nobody reads are still there after %s", left(), unreadWithin)
		}
		if len(list) > 0 {
			b.note("%d connections; after %s the streams of the first: %s", len(list), time.Since(began).Round(time.Second), list[0].went())
		}
		for _, f := range list {
			f.close()
		}
	}
	return &row{
		number: 42, name: "answers that nobody reads", once: true,
		setup: func(b *bout) { b.mustPublishLarge(b.service()) },
		// The same number of clients that do read.
		control: func(b *bout) {
			var wg sync.WaitGroup
			for range atATime {
				wg.Go(func() {
					for began := time.Now(); time.Since(began) < span; {
						if err := b.callLarge(b.ctx, b.service()); err != nil {
							b.Errorf("a client that reads its answers, with nobody beside it: %v", err)
							return
						}
					}
				})
			}
			wg.Wait()
		},
		moves: []move{
			{"400 streams of one connection, large answers", func(b *bout) {
				b.wellServed(10*time.Second, b.reader(), func() {
					ended(b, opened(b, 1, 400, func(f *frames, _ int) error {
						_, err := f.request(true, http.MethodPost, "/call/"+b.service())
						return err
					}))
				})
			}},
			{"lists and small answers, on many connections", func(b *bout) {
				requests := [][]string{
					{http.MethodPost, "/call/" + victimName},
					{http.MethodGet, "/metrics"},
					{http.MethodGet, "/healthz"},
					{http.MethodGet, ruedov1connect.ServiceServiceListServicesProcedure + "?connect=v1&encoding=json&message=%7B%7D"},
					{http.MethodGet, ruedov1connect.ClusterServiceGetStatusProcedure + "?connect=v1&encoding=json&message=%7B%7D"},
					{http.MethodGet, "/no/such/path"},
				}
				ended(b, opened(b, 20, 60, func(f *frames, i int) error {
					r := requests[i%len(requests)]
					_, err := f.request(true, r[0], r[1])
					return err
				}))
			}},
			{"150 connections that do not read", func(b *bout) {
				b.wellServed(unreadWithin, b.reader(), func() { b.silentReaders(150, b.service()) })
			}},
		},
		peakCore: 300 << 20,
	}
}

// silentReaders makes calls over HTTP/1.1 and reads nothing of the answers. The
// core must hang up on all of them. (Each says that it makes no further
// request; otherwise one that is refused for now would be left as an idle
// connection.)
func (b *bout) silentReaders(n int, service string) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range n {
		c, err := b.dial()
		if err != nil {
			b.Errorf("dial: %v", err)
			return
		}
		conns = append(conns, c)
		if i%atATime == 0 && i > 0 {
			// Just to see that the answer has started.
			_ = conns[i-1].SetReadDeadline(time.Now().Add(2 * time.Second))
			_, _ = conns[i-1].Read(make([]byte, 1))
		}
		if _, err := fmt.Fprintf(c, "POST /call/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", service, b.address()); err != nil {
			b.Errorf("write: %v", err)
		}
	}
	open := 0
	if !testkit.Poll(unreadWithin, func() bool {
		open = b.established(conns)
		return open == 0 || !b.core.alive()
	}) {
		b.Errorf("%d connections that read nothing are still there after %s", open, unreadWithin)
	}
}

// wellServed has a client call repeatedly while do runs. The client can be told
// to retry, but it must not go without a success for longer than patience.
func (b *bout) wellServed(patience time.Duration, call func(ctx context.Context) error, do func()) {
	ctx, cancel := context.WithCancel(b.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		served, refused, last, longest := 0, 0, time.Now(), time.Duration(0)
		for ctx.Err() == nil {
			err := call(ctx)
			switch {
			case ctx.Err() != nil:
			case err == nil:
				served++
				longest = max(longest, time.Since(last))
				last = time.Now()
			case reasonIs(err, fault.ServerBusy, fault.QueueFull, fault.ConcurrencyLimit):
				refused++
			default:
				b.Errorf("a client that behaves well: %v", err)
			}
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		longest = max(longest, time.Since(last))
		if longest > patience {
			b.Errorf("a client that behaves well had no answer for %s; up to %s is allowed", longest.Round(time.Second), patience)
		}
		b.note("a client that behaves well got %d answers, was told %d times to come again, and waited up to %s", served, refused, longest.Round(time.Millisecond))
	})
	do()
	cancel()
	wg.Wait()
}

// reader returns a client of the row's large service.
func (b *bout) reader() func(context.Context) error {
	return func(ctx context.Context) error { return b.callLarge(ctx, b.service()) }
}

// callLarge calls a service with a large answer, and reads it.
func (b *bout) callLarge(ctx context.Context, service string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/call/"+service, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	p := newPeer(b.url, false)
	defer p.close()
	res, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	a, err := b.heard("a large answer", res)
	switch {
	case err != nil:
		return err
	case a.err != nil:
		return a.err
	case len(a.body) != largeOutput:
		return fmt.Errorf("the answer has %d bytes, want %d", len(a.body), largeOutput)
	}
	return nil
}
