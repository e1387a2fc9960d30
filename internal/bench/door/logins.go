package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
)

const (
	// attempts is how many attempts to log in come in a second, and strangers from how
	// many addresses: few enough from each for the limit of addresses, or ever new ones.
	attempts  = 100
	strangers = 50
	many      = 1 << 16
	// Before anything is measured, all addresses fail as often as they may. Strangers try
	// for a while, and at most so often.
	failures        = 10
	settle, settles = 2 * time.Second, 30
	// callers call at most once in a pace each, so that the machine is not busy without
	// those who log in.
	callers = 2
	pace    = 2 * time.Millisecond
	// keeps is how long a stranger keeps a connection that is idle: less long than a core
	// does, which then closes it.
	keeps = time.Minute
)

// scenes are what strangers do meanwhile. What they cost by being there, with their
// connections and whoever plays them, is in those that only ask which cluster this is.
var scenes = []scene{
	{name: "0"},
	{name: "hello-100", rate: attempts, addresses: strangers},
	{name: "100", rate: attempts, addresses: strangers, login: true, besides: "hello-100"},
	{name: "hello-100-addresses", rate: attempts, addresses: many},
	{name: "100-addresses", rate: attempts, addresses: many, login: true, besides: "hello-100-addresses"},
}

// scene is strangers who send so many requests in a second, from so many addresses.
type scene struct {
	name            string
	rate, addresses int
	login           bool   // they try to log in
	besides         string // the scene that is the same without that
}

// logins: how long do calls take while strangers try to log in? Each of them is another
// user. Their addresses are few, which is what a core limits, or those of all are others,
// and then so are their connections. Calls are compared with those next to nothing, and
// with those next to as many requests of the same strangers that need no password.
func (b *bench) logins() error {
	s, err := b.open(logins)
	if err != nil {
		return err
	}
	t := &load.Target{URL: s.URL, Requests: [][]byte{load.Post("/call/"+service, input, "Authorization: Bearer "+s.token)}}
	c := &crowd{host: strings.TrimPrefix(s.URL, "http://"), free: map[int][]idle{}}
	defer c.close()
	for wrong, n := 0.0, 0; wrong < strangers*failures && n < settles; n++ {
		ctx, cancel := context.WithTimeout(b.ctx, settle)
		got, err := c.try(ctx, scene{rate: attempts, addresses: strangers, login: true})
		if cancel(); err != nil {
			return err
		}
		wrong += got.wrong * settle.Seconds()
	}
	calls, told := map[string][]load.Result{}, map[string][]answers{}
	for round := range b.Rounds + 1 {
		for _, one := range turns(scenes, round) {
			r, got, err := b.among(c, one, t)
			if err != nil {
				return err
			}
			if round > 0 { // it warms up
				calls[one.name], told[one.name] = append(calls[one.name], r), append(told[one.name], got)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round, b.Rounds)
	}
	for _, one := range scenes {
		name := "door/logins/" + one.name + "/"
		for _, by := range []struct{ scene, baseline string }{{scenes[0].name, "no logins"}, {one.besides, "as many requests"}} {
			for _, f := range figures[:2] { // processor time has that of the hashes in it
				if by.scene != "" {
					b.add(name+f.name, f.unit, f.of(calls[one.name]), by.baseline, f.of(calls[by.scene]))
				}
			}
		}
		if !one.login {
			continue
		}
		var wrong, refused []float64
		for _, got := range told[one.name] {
			wrong, refused = append(wrong, got.wrong), append(refused, got.refused)
		}
		b.add(name+"wrong", "1/s", wrong, "", nil)
		b.add(name+"refused", "1/s", refused, "", nil)
	}
	return nil
}

// among measures calls while strangers try to log in.
func (b *bench) among(c *crowd, of scene, t *load.Target) (r load.Result, got answers, err error) {
	ctx, stop := context.WithCancel(b.ctx)
	var trying sync.WaitGroup
	var failed error
	trying.Go(func() { got, failed = c.try(ctx, of) })
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

// crowd is strangers, each with an address of the loopback network. They take as little
// of the processors as those who call.
type crowd struct {
	host string
	next int // who tries next

	mu   sync.Mutex
	free map[int][]idle // by address, of those who come back
}

// idle is a connection that nobody uses, and since when.
type idle struct {
	*load.Conn
	since time.Time
}

func (c *crowd) close() {
	for _, conns := range c.free {
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// answers are what strangers were told, in a second.
type answers struct {
	wrong   float64 // that the password is wrong
	refused float64 // that there are too many
}

// try has strangers send requests until ctx ends.
func (c *crowd) try(ctx context.Context, of scene) (answers, error) {
	if of.rate == 0 {
		return answers{}, nil
	}
	var mu sync.Mutex
	var failed error
	var got answers
	began := time.Now()
	var all sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		c.next++
		who := c.next
		all.Go(func() {
			wrong, err := c.ask(who, of)
			mu.Lock()
			defer mu.Unlock()
			switch failed = errors.Join(failed, err); {
			case wrong:
				got.wrong++
			default:
				got.refused++
			}
		})
		time.Sleep(time.Until(began.Add(time.Second * time.Duration(i+1) / time.Duration(of.rate))))
	}
	took := time.Since(began).Seconds()
	all.Wait()
	return answers{got.wrong / took, got.refused / took}, failed
}

// ask sends a request of a stranger. It reports whether that is a login and the answer is
// that the password is wrong; otherwise there are too many.
func (c *crowd) ask(who int, of scene) (wrong bool, err error) {
	from := of.addresses + who%of.addresses // those of few addresses are others
	conn, err := c.dial(from)
	if err != nil {
		return false, err
	}
	if of.login {
		wrong, err = login(conn, who)
	} else {
		_, err = conn.Call(load.Post("/ruedo.v1.LoginService/Hello", "{}"))
	}
	if err != nil || of.addresses != strangers {
		return wrong, errors.Join(err, conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free[from] = append(c.free[from], idle{conn, time.Now()})
	return wrong, nil
}

// login tries to log in as a stranger.
func login(conn *load.Conn, who int) (wrong bool, err error) {
	body := fmt.Sprintf(`{"user":"stranger-%d","password":"correct horse battery"}`, who)
	_, err = conn.Call(load.Post("/ruedo.v1.LoginService/Login", body))
	switch {
	case err == nil:
		return false, errors.New("a stranger has logged in")
	case strings.HasPrefix(err.Error(), "HTTP/1.1 401 "):
		return true, nil
	case strings.HasPrefix(err.Error(), "HTTP/1.1 429 "):
		return false, nil
	}
	return false, fmt.Errorf("a login: %w", err)
}

// dial returns a connection from an address.
func (c *crowd) dial(from int) (*load.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for free := c.free[from]; len(free) > 0; {
		last := free[len(free)-1]
		free = free[:len(free)-1]
		c.free[from] = free
		if time.Since(last.since) < keeps {
			return last.Conn, nil
		}
		last.Close()
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+from>>16), byte(from>>8), byte(from))}}
	conn, err := d.Dial("tcp", c.host)
	if err != nil {
		return nil, err
	}
	return &load.Conn{Conn: conn, Reader: bufio.NewReader(conn)}, nil
}
