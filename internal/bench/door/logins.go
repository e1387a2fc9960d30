package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
)

const (
	// attempts is how many attempts to log in come in a second, and strangers from how
	// many addresses: few enough from each for the limit of addresses.
	attempts  = 100
	strangers = 50
	// callers call at most once in a pace each, so that the machine is not busy without
	// those who log in.
	callers = 2
	pace    = 2 * time.Millisecond
)

// logins: how long do calls take while strangers try to log in? Each of them is another
// user, from an address of its own, so that only the limit of passwords remains.
func (b *bench) logins() error {
	s, err := b.open(logins)
	if err != nil {
		return err
	}
	t := &load.Target{URL: s.URL, Requests: [][]byte{load.Post("/call/"+service, input, "Authorization: Bearer "+s.token)}}
	c := newCrowd(s.URL)
	defer c.close()
	rates := []int{0, attempts}
	calls := map[int][]load.Result{}
	var wrong, refused []float64
	for round := range b.Rounds + 1 {
		for _, rate := range turns(rates, round) {
			r, got, err := b.among(c, rate, t)
			if err != nil {
				return err
			}
			if round == 0 { // it warms up
				continue
			}
			calls[rate] = append(calls[rate], r)
			if rate > 0 {
				wrong, refused = append(wrong, got.wrong), append(refused, got.refused)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round, b.Rounds)
	}
	for _, rate := range rates {
		for _, f := range figures[:2] { // processor time has that of the hashes in it
			b.add(fmt.Sprintf("door/logins/%d/%s", rate, f.name), f.unit, f.of(calls[rate]), "no logins", f.of(calls[0]))
		}
	}
	name := fmt.Sprintf("door/logins/%d/", attempts)
	b.add(name+"wrong", "1/s", wrong, "", nil)
	b.add(name+"refused", "1/s", refused, "", nil)
	return nil
}

// among measures calls while so many strangers try to log in in a second.
func (b *bench) among(c *crowd, rate int, t *load.Target) (r load.Result, got answers, err error) {
	ctx, stop := context.WithCancel(b.ctx)
	var trying sync.WaitGroup
	var failed error
	trying.Go(func() { got, failed = c.try(ctx, rate) })
	end := time.Now().Add(2 * b.Slice)
	r, err = load.Measure(nil, callers, func(int) (times []time.Duration, err error) {
		conn, err := t.Dial()
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		for time.Now().Before(end) && err == nil {
			began := time.Now()
			_, err = conn.Call(t.Requests[0])
			times = append(times, time.Since(began))
			time.Sleep(time.Until(began.Add(pace)))
		}
		return times, err
	})
	stop()
	trying.Wait()
	return r, got, errors.Join(err, failed)
}

// crowd is strangers, each with an address of the loopback network.
type crowd struct {
	url     string
	clients []*http.Client
	names   int // that were tried
}

func newCrowd(url string) *crowd {
	c := &crowd{url: url}
	for i := range strangers {
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i))}}
		c.clients = append(c.clients, &http.Client{Transport: &http.Transport{DialContext: d.DialContext}, Timeout: 10 * time.Second})
	}
	return c
}

func (c *crowd) close() {
	for _, one := range c.clients {
		one.CloseIdleConnections()
	}
}

// answers are what strangers were told, in a second.
type answers struct {
	wrong   float64 // that the password is wrong
	refused float64 // that there are too many
}

// try has strangers try to log in, so many in a second, until ctx ends.
func (c *crowd) try(ctx context.Context, rate int) (answers, error) {
	if rate == 0 {
		return answers{}, nil
	}
	var mu sync.Mutex
	var failed error
	counts := map[int]float64{}
	began := time.Now()
	var all sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		c.names++
		who, name := c.clients[i%len(c.clients)], fmt.Sprintf("stranger-%d", c.names)
		all.Go(func() {
			status, err := login(ctx, who, c.url, name)
			mu.Lock()
			defer mu.Unlock()
			if counts[status]++; ctx.Err() == nil {
				failed = errors.Join(failed, err)
			}
		})
		time.Sleep(time.Until(began.Add(time.Second * time.Duration(i+1) / time.Duration(rate))))
	}
	took := time.Since(began).Seconds()
	all.Wait()
	return answers{counts[http.StatusUnauthorized] / took, counts[http.StatusTooManyRequests] / took}, failed
}

// login tries to log in, and returns the status of the answer.
func login(ctx context.Context, who *http.Client, url, name string) (int, error) {
	body := strings.NewReader(fmt.Sprintf(`{"user":%q,"password":"correct horse battery"}`, name))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/ruedo.v1.LoginService/Login", body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := who.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if s := res.StatusCode; err == nil && s != http.StatusUnauthorized && s != http.StatusTooManyRequests {
		err = fmt.Errorf("a login is answered %s: %.200s", res.Status, text)
	}
	return res.StatusCode, err
}
