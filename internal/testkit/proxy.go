package testkit

import (
	"net"
	"sync"
	"testing"
)

// Proxy forwards TCP connections to an address. While it is frozen, it keeps
// connections open and passes nothing on, like a network that lost a route. It
// ends with its test. Its methods can be called from many goroutines.
type Proxy struct {
	ln     net.Listener
	closed chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	to     string
	moved  chan struct{} // closed when to changes
	flows  chan struct{} // closed while bytes pass
	frozen bool
}

// NewProxy returns a proxy to an address.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{ln: ln, to: to, closed: make(chan struct{}), moved: make(chan struct{}), flows: make(chan struct{})}
	close(p.flows)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		close(p.closed)
		_ = ln.Close()
		p.wg.Wait()
	})
	return p
}

// Addr returns the address to connect to.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Freeze stops all traffic, of connections to come, too.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.frozen {
		p.frozen, p.flows = true, make(chan struct{})
	}
}

// Thaw lets traffic pass again, that which was held back first.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen {
		p.frozen = false
		close(p.flows)
	}
}

// Redirect ends all connections, and forwards those to come to another address.
func (p *Proxy) Redirect(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *Proxy) accept() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to, moved := p.to, p.moved
		p.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.wg.Go(func() { p.pass(in, out) })
		p.wg.Go(func() { p.pass(out, in) })
		p.wg.Go(func() {
			select {
			case <-moved:
			case <-p.closed:
			}
			_ = in.Close()
			_ = out.Close()
		})
	}
}

func (p *Proxy) pass(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		flows := p.flows
		p.mu.Unlock()
		select {
		case <-flows:
		case <-p.closed:
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			_ = to.Close()
			return
		}
	}
}
