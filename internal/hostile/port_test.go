//go:build hostile

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const (
	// portTime is how long the port is fuzzed, unless RUEDO_PORT_FUZZ is set.
	portTime = 30 * time.Second
	// portWorkers is how many peers fuzz at the same time, and portSteps bounds
	// the steps of each.
	portWorkers = 6
	portSteps   = 2_000_000
	// stepTime bounds one step.
	stepTime = 3 * time.Second
	// mostStall bounds the time of one call of the victim.
	mostStall = time.Second
	// settledWithin is how soon the core must be back to normal after a long
	// attack.
	settledWithin = 30 * time.Second
	// maxLine bounds a line of a log, in bytes.
	maxLine = 16 << 10
)

// TestPort sends everything to every procedure. RUEDO_PORT_FUZZ sets how long,
// RUEDO_PORT_SEED what is sent: each step of each worker is a function of the
// seed, the worker and the number of the step.
func TestPort(t *testing.T) {
	length, seed := portTime, uint64(time.Now().UnixNano())
	if text := os.Getenv("RUEDO_PORT_FUZZ"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("RUEDO_PORT_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RUEDO_PORT_SEED=%d", seed)
	c := newCluster(t)
	b := &bout{cluster: c, ctx: t.Context(), row: &row{}, serial: new(atomic.Int64), move: "fuzz"}
	b.mustPublish(b.service("page"), page(), time.Second)
	list := b.mustProcedures()
	v := newVictim(t, c)
	v.watch(func() { time.Sleep(time.Second) }) // while connections are made
	calm := v.control()
	goroutines, err := c.metric(t.Context(), goroutinesMetric)
	if err != nil || len(list) == 0 || len(b.wrong) > 0 {
		t.Fatal(err, b.wrong)
	}
	before := c.core.state(t)
	c.core.resetPeak(t)

	f := &fuzz{bout: b, list: list, steps: make(map[string]*tally)}
	attack := v.watch(func() {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		var wg sync.WaitGroup
		for i := range uint64(portWorkers) {
			wg.Go(func() { f.work(ctx, seed, i) })
		}
		wg.Wait()
	})

	if !c.core.alive() {
		t.Fatalf("the core is dead:\n%s\nlast steps: %s", tail(c.core.output(0), 4000), f.last())
	}
	peak := c.core.state(t).peak
	if peak > coreMemory {
		t.Errorf("the core had up to %s of memory, the most is %s", mib(peak), mib(coreMemory))
	}
	if len(attack.problems) > 0 {
		t.Errorf("%d of %d calls of the victim failed: %s", len(attack.problems), attack.calls, attack.problems[0])
	}
	if slow := attack.over(mostStall); len(slow) > 0 {
		t.Errorf("%d calls of the victim took longer than %s, up to %s", len(slow), mostStall, ms(attack.max))
	}
	var after state
	var left float64
	if !testkit.Poll(settledWithin, func() bool {
		// The metrics come last: polling them fifty times a second would make more
		// garbage than the fuzzer left.
		if after = c.core.state(t); after.rss > before.rss+memorySlack || after.files > before.files+fileSlack {
			return false
		}
		left, err = c.metric(t.Context(), goroutinesMetric)
		return err == nil && left <= goroutines+goroutineSlack
	}) {
		t.Errorf("the core is not back after %s: memory %s, was %s; files %d, was %d; goroutines %.0f, was %.0f",
			settledWithin, mib(after.rss), mib(before.rss), after.files, before.files, left, goroutines)
	}
	if n := c.ready(t.Context()); n != runnerCount {
		t.Errorf("%d runners are ready, there were %d", n, runnerCount)
	}
	f.readLogs()
	for _, text := range b.wrong {
		t.Error(text)
	}
	t.Log(f.report())
	t.Logf("the victim before: %s; beside: %s; the core: memory %s, peak %s, then %s; goroutines %.0f then %.0f", calm, attack, mib(before.rss), mib(peak), mib(after.rss), goroutines, left)
}

// fuzz is the state that the workers share.
type fuzz struct {
	*bout
	list []procedure

	mu    sync.Mutex
	steps map[string]*tally
	// under is what each worker is doing.
	under [portWorkers]string
	// internal holds the ids of INTERNAL answers, with the place of each.
	internal map[string]string
}

// tally counts steps of one kind, and the codes of their answers.
type tally struct {
	n     int
	codes map[connect.Code]int
}

// work makes one step after the other.
func (f *fuzz) work(ctx context.Context, seed, worker uint64) {
	h1, h2 := newPeer(f.url, false), newPeer(f.url, true)
	defer h1.close()
	defer h2.close()
	for n := uint64(0); n < portSteps && ctx.Err() == nil && f.core.alive(); n++ {
		c := newChance(seed, worker<<32|n)
		step, cancel := context.WithTimeout(ctx, stepTime)
		p := f.list[c.IntN(len(f.list))]
		peer := h1
		if c.in(2) || p.stream == connect.StreamTypeBidi {
			peer = h2
		}
		kind := c.IntN(20)
		f.mu.Lock()
		f.under[worker] = fmt.Sprintf("worker %d, step %d, kind %d, %s", worker, n, kind, p.path)
		f.mu.Unlock()
		switch {
		case kind < 11:
			f.procedure(step, c, peer, p)
		case kind < 13:
			f.query(step, c, peer, p)
		case kind < 16:
			f.request(step, c, peer, p)
		case kind < 18:
			f.bytes(c, p)
		default:
			f.streams(c, p)
		}
		cancel()
	}
}

// last describes the workers' latest steps.
func (f *fuzz) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.under[:], "; ")
}

// procedure calls a procedure as a client would, with messages that a client
// would not send.
func (f *fuzz) procedure(ctx context.Context, c chance, peer *peer, p procedure) {
	s := speech{[]string{"connect", "grpc", "grpc-web"}[c.IntN(3)], []string{"proto", "json"}[c.IntN(2)], c.in(3)}
	var messages [][]byte
	for range 1 + c.IntN(3)*c.IntN(2) {
		m := c.encoded(p.input, s.codec)
		if s.packed {
			m = c.packed(m)
		}
		messages = append(messages, m)
	}
	if c.in(6) || p.stream&connect.StreamTypeServer != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.pause())
		defer cancel()
	}
	r := peer.call(ctx, p, s, c.header(), messages...)
	f.judge("procedure "+p.path+" "+s.protocol, r)
}

// query calls a procedure with GET.
func (f *fuzz) query(ctx context.Context, c chance, peer *peer, p procedure) {
	m := c.encoded(p.input, "proto")
	q := url.Values{"connect": {"v1"}, "encoding": {"proto"}, "base64": {"1"}}
	if c.in(2) {
		m = c.packed(m)
		q.Set("compression", "gzip")
	}
	if c.in(5) {
		q.Set([]string{"connect", "encoding", "base64", "compression"}[c.IntN(4)], c.text())
	}
	q.Set("message", base64.RawURLEncoding.EncodeToString(m))
	f.send(ctx, "GET", peer, http.MethodGet, p.path+"?"+q.Encode(), c.header(), nil)
}

// request makes a request of plain HTTP.
func (f *fuzz) request(ctx context.Context, c chance, peer *peer, p procedure) {
	paths := []string{"/call/" + victimName, "/call/" + f.service("page"), "/call/none", "/call/", "/metrics", "/healthz", "/", "/debug/pprof/", p.path}
	path := paths[c.IntN(len(paths))]
	if c.in(4) {
		path += url.PathEscape(c.text())
	}
	method := []string{"POST", "POST", "GET", "PUT", "OPTIONS", "HEAD", "DELETE", "PATCH"}[c.IntN(8)]
	body := c.encoded(p.input, "json")
	if c.in(2) {
		body = c.envelopes(body, c.encoded(p.input, "proto"))
	}
	h := c.header()
	if c.in(2) {
		h["Content-Type"] = []string{[]string{"application/json", p.contentType(), "application/grpc-web", "text/plain"}[c.IntN(4)]}
	}
	f.send(ctx, "request "+method, peer, method, path, h, bytes.NewReader(body))
}

func (f *fuzz) send(ctx context.Context, kind string, peer *peer, method, path string, header http.Header, body io.Reader) {
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, body)
	if err != nil {
		f.judge(kind, reply{err: err})
		return
	}
	copyHeader(req.Header, header)
	res, err := peer.http.Do(req)
	if err != nil {
		f.judge(kind, reply{err: err})
		return
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err == nil && method != http.MethodHead { // whose answers have no body to say more
		err = errorOf(res.StatusCode, res.Header, text)
	}
	f.judge(kind, reply{err: err, size: len(text) + int(headerSize(res.Header))})
}

// bytes sends an imperfect HTTP/1.1 request, and sometimes leaves it half done.
func (f *fuzz) bytes(c chance, p procedure) {
	body := c.encoded(p.input, "proto")
	text := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", p.path, f.address(), p.contentType(), len(body))
	h := c.header()
	for _, k := range slices.Sorted(maps.Keys(h)) {
		text = fmt.Appendf(text, "%s: %s\r\n", k, h[k][0])
	}
	text = append(append(text, "\r\n"...), body...)
	if c.in(10) {
		text = c.noise(c.IntN(4000))
	}
	for c.in(2) {
		text = c.mutated(text)
	}
	wait := c.pause()
	conn, err := f.dial()
	if err != nil {
		f.judge("bytes", reply{err: err})
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wait))
	_, _ = conn.Write(text)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.judge("bytes", reply{err: err})
		return
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err == nil {
		err = errorOf(res.StatusCode, res.Header, answer)
	}
	f.judge("bytes", reply{err: err, size: len(answer) + int(headerSize(res.Header))})
}

// streams sends HTTP/2 frames in any order, and leaves streams half done.
func (f *fuzz) streams(c chance, p procedure) {
	var settings []http2.Setting
	for range c.IntN(3) {
		settings = append(settings, http2.Setting{ID: http2.SettingID(c.IntN(9)), Val: uint32(c.number())})
	}
	conn, err := f.bout.frames(settings...)
	if err != nil {
		f.judge("frames", reply{err: err})
		return
	}
	defer conn.close()
	for range c.IntN(40) {
		if conn.isClosed() {
			break
		}
		stream := uint32(2*c.IntN(8) + 1)
		body := c.envelopes(c.encoded(p.input, "proto"))
		_ = conn.conn.SetWriteDeadline(time.Now().Add(stepTime))
		switch c.IntN(9) {
		case 0, 1, 2:
			_, err = conn.request(c.in(3), http.MethodPost, p.path, "content-type", p.contentType(), "te", "trailers")
		case 3, 4:
			err = conn.data(stream, c.in(2), body[:min(len(body), 16<<10)])
		case 5:
			err = conn.say(func(fr *http2.Framer) error { return fr.WriteRSTStream(stream, http2.ErrCode(c.IntN(14))) })
		case 6:
			err = conn.say(func(fr *http2.Framer) error {
				return fr.WriteWindowUpdate(stream*uint32(c.IntN(2)), uint32(c.number())>>1)
			})
		case 7:
			err = conn.say(func(fr *http2.Framer) error {
				return fr.WriteRawFrame(http2.FrameType(c.IntN(12)), http2.Flags(c.Uint32()), stream*uint32(c.IntN(2)), c.noise(c.IntN(200)))
			})
		case 8:
			err = conn.say(func(fr *http2.Framer) error {
				_, err := conn.conn.Write(c.noise(c.IntN(100)))
				return err
			})
		}
		if err != nil {
			break
		}
	}
	wait := time.NewTimer(c.pause())
	defer wait.Stop()
	select {
	case <-conn.closed:
	case <-wait.C:
	}
	f.judge("frames", reply{})
}

// pause returns how long something is left half done, rarely as long as a step
// can take.
func (c chance) pause() time.Duration {
	if c.in(50) {
		return c.span(stepTime)
	}
	return c.span(100 * time.Millisecond)
}

// judge checks the result of a step.
func (f *fuzz) judge(kind string, r reply) {
	f.mu.Lock()
	t := f.steps[kind]
	if t == nil {
		t = &tally{codes: make(map[connect.Code]int)}
		f.steps[kind] = t
	}
	t.n++
	ce, ofTheCore := errors.AsType[*connect.Error](r.err)
	ofTheCore = ofTheCore && (connect.IsWireError(r.err) || !strings.HasPrefix(kind, "procedure"))
	if r.err != nil {
		t.codes[connect.CodeOf(r.err)]++
	}
	f.mu.Unlock()
	e, ofTheGateway := errors.AsType[*fault.Error](r.err)
	if !ofTheCore && !ofTheGateway {
		return // the client's own error, or none
	}
	f.clean(kind, everything(r.err))
	if r.size > maxError && r.messages == 0 {
		f.Errorf("%s: the error has %d bytes, the most is %d: %.200v", kind, r.size, maxError, r.err)
	}
	if ofTheCore {
		e = faultrpc.FromConnect(ce)
	}
	// net/http itself answers an unknown Expect, without a body.
	expectation := strings.HasPrefix(e.Error(), "417 ")
	if (e.Reason == fault.Internal || e.ConnectCode() == fault.CodeInternal) && !expectation {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.internal == nil {
			f.internal = make(map[string]string)
		}
		f.internal[e.Meta["id"]] = kind + ": " + e.Error()
	}
}

// readLogs looks for panics, for lines that are too long, and for the lines of
// INTERNAL answers.
func (f *fuzz) readLogs() {
	f.logsAreJSON()
	for _, p := range f.processes() {
		n := 0
		for line := range strings.Lines(p.output(0)) {
			if n++; len(line) > maxLine {
				f.Errorf("a line in the log of %s has %d bytes, the most is %d: %.300s", p.name, len(line), maxLine, line)
			}
			if strings.Contains(line, "panic") {
				f.Errorf("%s met a panic: %.2000s", p.name, line)
			}
		}
		f.note("%s wrote %d lines", p.name, n)
	}
	log := f.core.output(0)
	for id, what := range f.internal {
		if id == "" || !strings.Contains(log, id) {
			f.Errorf("an answer is INTERNAL and no line of the log says why: %s", what)
		}
	}
}

// report counts the steps.
func (f *fuzz) report() string {
	var s strings.Builder
	all := 0
	for _, kind := range slices.Sorted(maps.Keys(f.steps)) {
		t := f.steps[kind]
		all += t.n
		fmt.Fprintf(&s, "\n%6d %s %v", t.n, kind, t.codes)
	}
	return fmt.Sprintf("%d steps, %d answers INTERNAL%s", all, len(f.internal), s.String())
}
