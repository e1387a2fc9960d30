package dispatch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is one measurement of one subject at one concurrency.
type result struct {
	rps, p50, p99 float64 // calls/s, microseconds
	cpu           float64 // microseconds of the subject's processes per call
}

// load sends the request over n connections for some time and measures. It is a
// minimal HTTP/1.1 client, so that it takes little of the two cores that it
// shares with the subject.
func load(ctx context.Context, s *subject, n int, slice time.Duration) (result, error) {
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.path, len(s.body), s.body)
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			return result{}, err
		}
		defer c.Close()
		conns[i] = c
	}
	before, err := s.cpuTime()
	if err != nil {
		return result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	times := make([][]time.Duration, n)
	errs := make([]error, n)
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { times[i], errs[i] = oneConn(ctx, c, request, s.want) })
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return result{}, fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := s.cpuTime()
	if err != nil {
		return result{}, err
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return result{}, fmt.Errorf("%s: no call was answered", s.name)
	}
	slices.Sort(all)
	count := float64(len(all))
	return result{
		rps: count / took.Seconds(),
		p50: micro(all[len(all)/2]),
		p99: micro(all[len(all)*99/100]),
		cpu: micro(after-before) / count,
	}, nil
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func oneConn(ctx context.Context, c net.Conn, request []byte, want string) ([]time.Duration, error) {
	var times []time.Duration
	r := bufio.NewReaderSize(c, 16<<10)
	for ctx.Err() == nil {
		start := time.Now()
		if err := c.SetDeadline(start.Add(10 * time.Second)); err != nil {
			return nil, err
		}
		if _, err := c.Write(request); err != nil {
			return nil, err
		}
		body, err := readResponse(r)
		if err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
		if !bytes.Contains(body, []byte(want)) {
			return nil, fmt.Errorf("answer %.200q does not hold %q", body, want)
		}
	}
	return times, nil
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
