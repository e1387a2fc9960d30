// Package load makes HTTP calls over many connections and measures them.
package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/process"
)

// Target is a server that answers calls, and its processes.
type Target struct {
	Name, URL string
	// TLS is how the server is known, if it has TLS; nil means that it has none.
	TLS *tls.Config
	// Requests are sent in turn; see [Post].
	Requests [][]byte
	// Want is part of a correct answer.
	Want string
	// Processes are those whose time is measured.
	Processes []*process.Process
}

// Post returns a request, with more fields in its header: "Name: value".
func Post(path, body string, fields ...string) []byte {
	header := ""
	for _, f := range fields {
		header += f + "\r\n"
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", path, len(body), header, body)
}

// Result is one measurement.
type Result struct {
	RPS, P50, P99 float64 // calls/s, microseconds
	CPU           float64 // microseconds of the processes per call
}

// patience bounds one call, and all calls of Each.
const (
	patience = 10 * time.Second
	allOnce  = time.Minute
)

// Run calls over n connections for some time and measures. It is a minimal
// HTTP/1.1 client, so that it takes little of the processors that it shares with
// the target.
func Run(ctx context.Context, t *Target, n int, slice time.Duration) (Result, error) {
	conns, err := t.Open(n)
	if err != nil {
		return Result{}, err
	}
	defer Close(conns)
	return Over(ctx, t, conns, slice)
}

// Over is Run over connections that are open.
func Over(ctx context.Context, t *Target, conns []*Conn, slice time.Duration) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	return t.over(conns, func(int) bool { return ctx.Err() == nil })
}

// Each sends every request at least once, over n connections.
func Each(ctx context.Context, t *Target, n int) error {
	ctx, cancel := context.WithTimeout(ctx, allOnce)
	defer cancel()
	share := (len(t.Requests) + n - 1) / n
	conns, err := t.Open(n)
	if err != nil {
		return err
	}
	defer Close(conns)
	_, err = t.over(conns, func(sent int) bool { return sent < share && ctx.Err() == nil })
	return errors.Join(err, context.Cause(ctx))
}

// Open opens n connections.
func (t *Target) Open(n int) ([]*Conn, error) {
	conns := make([]*Conn, n)
	for i := range conns {
		var err error
		if conns[i], err = t.Dial(); err != nil {
			Close(conns[:i])
			return nil, err
		}
	}
	return conns, nil
}

// Close closes connections.
func Close(conns []*Conn) {
	for _, c := range conns {
		_ = c.Close() // nothing is sent any more
	}
}

// over calls over connections as long as more returns true.
func (t *Target) over(conns []*Conn, more func(sent int) bool) (Result, error) {
	n := len(conns)
	r, err := Measure(t.Processes, n, func(i int) ([]time.Duration, error) { return t.calls(conns[i], i, n, more) })
	if err != nil {
		return r, fmt.Errorf("%s: %w", t.Name, err)
	}
	return r, nil
}

// Connect calls once over each of some connections, which n callers make one after the
// other, and measures. A call begins with its connection.
func Connect(t *Target, n, connections int) (Result, error) {
	r, err := Measure(t.Processes, n, func(i int) (times []time.Duration, err error) {
		for range connections / n {
			start := time.Now()
			c, err := t.Dial()
			if err != nil {
				return nil, err
			}
			_, err = c.Call(t.Requests[0])
			took := time.Since(start)
			if err := errors.Join(err, c.Close()); err != nil {
				return nil, err
			}
			times = append(times, took)
		}
		return times, nil
	})
	if err != nil {
		return r, fmt.Errorf("%s: %w", t.Name, err)
	}
	return r, nil
}

// Measure has n callers make calls at the same time, and measures processes
// meanwhile. A caller returns how long each of its calls took.
func Measure(of []*process.Process, n int, caller func(i int) ([]time.Duration, error)) (Result, error) {
	before, err := process.CPU(of)
	if err != nil {
		return Result{}, err
	}
	times := make([][]time.Duration, n)
	errs := make([]error, n)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { times[i], errs[i] = caller(i) })
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return Result{}, err
	}
	after, err := process.CPU(of)
	if err != nil {
		return Result{}, err
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return Result{}, errors.New("no call was answered")
	}
	slices.Sort(all)
	count := float64(len(all))
	return Result{
		RPS: count / took.Seconds(),
		P50: micro(all[len(all)/2]),
		P99: micro(all[len(all)*99/100]),
		CPU: micro(after-before) / count,
	}, nil
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// calls calls over one of n connections as long as more returns true. Each
// connection begins elsewhere in the requests.
func (t *Target) calls(c *Conn, i, n int, more func(sent int) bool) ([]time.Duration, error) {
	var times []time.Duration
	next := i * len(t.Requests) / n
	for more(len(times)) {
		start := time.Now()
		body, err := c.Call(t.Requests[next])
		if err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
		next = (next + 1) % len(t.Requests)
		if !bytes.Contains(body, []byte(t.Want)) {
			return nil, fmt.Errorf("answer %.200q does not hold %q", body, t.Want)
		}
	}
	return times, nil
}

// Conn is a connection of HTTP/1.1.
type Conn struct {
	net.Conn
	Reader *bufio.Reader
}

// Dial connects to the host of a URL, without TLS.
func Dial(url string) (*Conn, error) { return (&Target{URL: url}).Dial() }

// Dial connects to a target.
func (t *Target) Dial() (*Conn, error) {
	_, host, _ := strings.Cut(t.URL, "://")
	c, err := net.DialTimeout("tcp", host, patience)
	if err != nil {
		return nil, err
	}
	if t.TLS != nil {
		secured := tls.Client(c, t.TLS)
		if err := errors.Join(c.SetDeadline(time.Now().Add(patience)), secured.Handshake()); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c = secured
	}
	return &Conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// Call sends a request and returns the body of the answer, whose length has to be
// announced.
func (c *Conn) Call(request []byte) ([]byte, error) {
	if err := c.Send(request); err != nil {
		return nil, err
	}
	return readResponse(c.Reader)
}

// Send sends a request. Sending it and reading the answer must not take more than
// 10 s.
func (c *Conn) Send(request []byte) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.Write(request)
	return err
}

func readResponse(r *bufio.Reader) ([]byte, error) {
	status, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	length := -1
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimSpace(line)
		if line == "" {
			break
		}
		if k, v, _ := strings.Cut(line, ":"); strings.EqualFold(k, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("no length after %q", status)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	if !strings.Contains(status, " 200 ") {
		return nil, fmt.Errorf("%s: %.300s", strings.TrimSpace(status), body)
	}
	return body, nil
}
