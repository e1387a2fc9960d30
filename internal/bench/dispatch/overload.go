package dispatch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/cluster"
	"github.com/ruedo-dev/ruedo/internal/bench/guests"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// The load of an overload: how many times the peak is offered, and the deadline of
// each call, as a multiple of the time that a call takes at the peak.
const (
	factor   = 5
	patience = 8
	// maxOpen bounds the connections that stay open between calls.
	maxOpen = 2048
)

// worker is a service that is overloaded.
type worker struct {
	name string
	body []byte
}

// overload is one measurement of a worker: at its peak, then with factor times as
// many calls, then with single ones.
type overload struct {
	peak     float64 // calls/s
	goodput  float64 // calls/s that were answered in time
	refused  float64 // p99 of the refusals, ms
	recovery float64 // ms from the end of the burst to the first call in time
}

// Overload measures what is left of the peak when five times as many calls come, and
// prints a table.
func Overload(ctx context.Context, o Options) ([]table.Row, error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, err
	}
	g := process.NewGroup(ctx)
	defer func() {
		g.Stop()
		_ = os.RemoveAll(dir)
	}()
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	burn, err := guests.Kept("c/burn")
	if err != nil {
		return nil, err
	}
	r, err := cluster.Start(ctx, g, root, dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.Publish("waits", wasmtest.Sleep(50*time.Millisecond)), r.Publish("computes", burn)); err != nil {
		return nil, err
	}
	const rounds = 20_000_000 // some 10 ms of a processor
	workers := []worker{{"waits", nil}, {"computes", binary.LittleEndian.AppendUint64(nil, rounds)}}
	results := map[string][]overload{}
	for round := range o.Rounds {
		for _, w := range workers {
			one, err := overloaded(ctx, r.URL, w, 3*o.Slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			results[w.name] = append(results[w.name], one)
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.Rounds)
	}
	return overloadRows(workers, results)
}

func overloadRows(workers []worker, results map[string][]overload) ([]table.Row, error) {
	var rows []table.Row
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "service\tpeak 1/s\tgoodput 1/s\tgoodput/peak\trefusals p99 ms\trecovery ms\t")
	for _, w := range workers {
		var peak, goodput, refused, recovery []float64
		for _, r := range results[w.name] {
			peak, goodput = append(peak, r.peak), append(goodput, r.goodput)
			refused, recovery = append(refused, r.refused), append(recovery, r.recovery)
		}
		name := "overload/" + w.name
		ratio := table.Median(table.Ratios(goodput, peak))
		rows = append(rows,
			table.Row{Name: name + "/peak", Value: table.Median(peak), Unit: "1/s"},
			table.Row{Name: name + "/goodput", Value: table.Median(goodput), Unit: "1/s", Baseline: name + "/peak", Ratio: ratio},
			table.Row{Name: name + "/refused", Value: table.Median(refused), Unit: "ms"},
			table.Row{Name: name + "/recovery", Value: table.Median(recovery), Unit: "ms"})
		fmt.Fprintf(out, "%s\t%.0f\t%.0f\t%.2f\t%.1f\t%.0f\t\n", w.name, table.Median(peak), table.Median(goodput), ratio, table.Median(refused), table.Median(recovery))
	}
	return rows, out.Flush()
}

// overloaded measures a worker.
func overloaded(ctx context.Context, url string, w worker, slice time.Duration) (r overload, err error) {
	conns := &pool{addr: strings.TrimPrefix(url, "http://"), idle: make(chan *link, maxOpen)}
	defer conns.close()
	// A call alone says how much time calls get.
	alone := 10 * time.Second
	for range 5 {
		got := conns.call(ctx, w, 10*time.Second)
		if got.status != 200 {
			return r, fmt.Errorf("a call alone: status %d, %v", got.status, got.err)
		}
		alone = min(alone, got.took)
	}
	// The peak is the best of some concurrencies.
	var busy time.Duration
	for _, n := range []int{2, 4, 8} {
		rate, took, err := closedLoop(ctx, conns, w, n, slice/3)
		if err != nil {
			return r, err
		}
		if rate > r.peak {
			r.peak, busy = rate, took
		}
	}
	deadline := patience * max(alone, busy)

	answers, lasted := openLoop(ctx, conns, w, factor*r.peak, slice, deadline)
	end := time.Now()
	for {
		if got := conns.call(ctx, w, deadline); got.status == 200 {
			break
		} else if got.err != nil || time.Since(end) > 30*time.Second {
			return r, fmt.Errorf("no call succeeds after the burst: status %d, %v", got.status, got.err)
		}
	}
	r.recovery = 1000 * time.Since(end).Seconds()
	var refusals []time.Duration
	good := 0
	for got := range answers {
		switch {
		case got.err != nil:
			return r, got.err
		case got.status == 200 && got.took <= deadline && !got.at.After(end): // later ones are not what the burst got done
			good++
		case got.status == 429 || got.status == 503:
			if !got.retry {
				return r, fmt.Errorf("a refusal with status %d has no Retry-After", got.status)
			}
			refusals = append(refusals, got.took)
		}
	}
	if len(refusals) == 0 {
		return r, errors.New("nothing was refused")
	}
	slices.Sort(refusals)
	r.goodput = float64(good) / lasted.Seconds()
	r.refused = 1000 * refusals[len(refusals)*99/100].Seconds()
	return r, nil
}

// closedLoop has n callers call one after the other. It returns calls per second and
// the median time of a call.
func closedLoop(ctx context.Context, conns *pool, w worker, n int, slice time.Duration) (rate float64, median time.Duration, err error) {
	times := make([][]time.Duration, n)
	errs := make([]error, n)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for time.Since(began) < slice && errs[i] == nil {
				got := conns.call(ctx, w, 10*time.Second)
				if times[i] = append(times[i], got.took); got.status != 200 {
					errs[i] = fmt.Errorf("status %d at the peak, %w", got.status, errors.Join(got.err, errors.New("200 was expected")))
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	all := slices.Concat(times...)
	slices.Sort(all)
	return float64(len(all)) / took.Seconds(), all[len(all)/2], errors.Join(errs...)
}

// openLoop begins calls at a rate, whatever becomes of those before. It returns when
// the last one has begun; the answers come later, and end.
func openLoop(ctx context.Context, conns *pool, w worker, rate float64, slice, deadline time.Duration) (<-chan answer, time.Duration) {
	n := int(rate * slice.Seconds())
	answers := make(chan answer, n)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(slice * time.Duration(i) / time.Duration(n))))
		wg.Go(func() { answers <- conns.call(ctx, w, deadline) })
	}
	lasted := time.Since(began)
	go func() {
		wg.Wait()
		close(answers)
	}()
	return answers, lasted
}

// answer is what came of a call.
type answer struct {
	status int
	retry  bool // it has Retry-After
	took   time.Duration
	at     time.Time // its end
	err    error
}

// pool is connections to one server, with a minimal HTTP/1.1 client.
type pool struct {
	addr string
	idle chan *link
}

type link struct {
	net.Conn
	r *bufio.Reader
}

func (p *pool) get() (*link, error) {
	select {
	case l := <-p.idle:
		return l, nil
	default:
	}
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	return &link{c, bufio.NewReaderSize(c, 4<<10)}, nil
}

func (p *pool) put(l *link) {
	select {
	case p.idle <- l:
	default:
		_ = l.Close()
	}
}

func (p *pool) close() {
	for {
		select {
		case l := <-p.idle:
			_ = l.Close()
		default:
			return
		}
	}
}

// call sends one call with a deadline.
func (p *pool) call(ctx context.Context, w worker, deadline time.Duration) (a answer) {
	began := time.Now()
	defer func() {
		a.at = time.Now()
		a.took = a.at.Sub(began)
	}()
	if a.err = ctx.Err(); a.err != nil {
		return a
	}
	var l *link
	if l, a.err = p.get(); a.err != nil {
		return a
	}
	defer func() {
		if a.err != nil {
			_ = l.Close()
			return
		}
		p.put(l)
	}()
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST /call/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\nRuedo-Timeout: %s\r\nContent-Length: %d\r\n\r\n", w.name, deadline, len(w.body))
	request.Write(w.body)
	if a.err = l.SetDeadline(began.Add(30 * time.Second)); a.err != nil {
		return a
	}
	if _, a.err = l.Write(request.Bytes()); a.err != nil {
		return a
	}
	a.status, a.retry, a.err = readStatus(l.r)
	return a
}

// readStatus reads a response, and returns its status and whether it says when to try
// again.
func readStatus(r *bufio.Reader) (status int, retry bool, err error) {
	first, err := r.ReadString('\n')
	if err != nil {
		return 0, false, err
	}
	if fields := strings.Fields(first); len(fields) > 1 {
		status, err = strconv.Atoi(fields[1])
	}
	length := 0
	for err == nil {
		var line string
		if line, err = r.ReadString('\n'); err != nil || strings.TrimSpace(line) == "" {
			break
		}
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch strings.ToLower(k) {
		case "content-length":
			length, err = strconv.Atoi(strings.TrimSpace(v))
		case "retry-after":
			retry = true
		}
	}
	if err == nil {
		_, err = r.Discard(length)
	}
	return status, retry, err
}
