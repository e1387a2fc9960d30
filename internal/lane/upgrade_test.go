package lane_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// middlebox stands before a core. What asks for an upgrade is for handle, everything
// else passes.
type middlebox struct {
	net.Listener
	core   string
	handle func(asks net.Conn, head string)
	asked  atomic.Int32
	wg     sync.WaitGroup
}

func newMiddlebox(t *testing.T, core string, handle func(m *middlebox, asks net.Conn, head string)) *middlebox {
	t.Helper()
	m := &middlebox{Listener: listen(t), core: core}
	m.handle = func(asks net.Conn, head string) { handle(m, asks, head) }
	m.wg.Go(func() {
		for {
			in, err := m.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() { m.serve(in) })
		}
	})
	t.Cleanup(func() { m.Close(); m.wg.Wait() })
	return m
}

func (m *middlebox) url() string { return "http://" + m.Addr().String() }

func (m *middlebox) serve(in net.Conn) {
	defer in.Close()
	r := bufio.NewReader(in)
	first, _ := r.Peek(3)
	if string(first) != "GET" {
		m.pass(in, r, "")
		return
	}
	m.asked.Add(1)
	var head strings.Builder
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			return
		}
		head.WriteString(line)
	}
	m.handle(in, head.String())
}

// pass passes bytes in both directions, after some of its own.
func (m *middlebox) pass(in net.Conn, from io.Reader, more string) {
	out, err := net.Dial("tcp", m.core)
	if err != nil {
		return
	}
	defer out.Close()
	m.wg.Go(func() {
		_, _ = io.Copy(in, out)
		in.Close()
	})
	_, _ = io.WriteString(out, more)
	_, _ = io.Copy(out, from)
}

// answers is a middlebox that answers itself.
func answers(text string) func(*middlebox, net.Conn, string) {
	return func(_ *middlebox, asks net.Conn, _ string) { _, _ = io.WriteString(asks, text) }
}

// Where no upgrade passes, the lane is a stream over HTTP/2. The next one does not even
// ask.
func TestALaneTakesTheWayThatIsOpen(t *testing.T) {
	for name, handle := range map[string]func(*middlebox, net.Conn, string){
		"it forbids upgrades":      answers("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
		"it speaks HTTP/2 only":    answers("HTTP/1.0 505 HTTP Version Not Supported\r\n\r\n"),
		"it hangs up":              answers(""),
		"it answers nonsense":      answers("\x00\x00\x12\x04\x00"),
		"it takes another upgrade": answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		"it drops the fields of one hop, or the core is older": func(m *middlebox, asks net.Conn, head string) {
			m.pass(asks, asks, strings.NewReplacer("Connection: Upgrade\r\n", "", "Upgrade: "+upgrade.Protocol+"\r\n", "").Replace(head))
		},
		"it says nothing": func(_ *middlebox, asks net.Conn, _ string) { _, _ = io.Copy(io.Discard, asks) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCore(t, nil)
			m := newMiddlebox(t, c.addr, handle)
			cfg := c.config("edge-1", &fakeRunner{execute: echo})
			cfg.URL, cfg.Way, cfg.LossTimeout = m.url(), new(lane.Way), 500*time.Millisecond
			for range 2 {
				conn, err := lane.Dial(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				l := c.lane()
				if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil || conn.Upgraded() || l.Info().GetLaneUpgraded() {
					t.Errorf("a call: %v; upgraded, as the ends say: %t, %t", err, conn.Upgraded(), l.Info().GetLaneUpgraded())
				}
				if err := conn.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if n := m.asked.Load(); n != 1 {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}

// What lets the upgrade through and then nothing costs one attempt.
func TestAnUpgradeThatLeadsNowhere(t *testing.T) {
	c := newCore(t, nil)
	m := newMiddlebox(t, c.addr, func(_ *middlebox, asks net.Conn, _ string) {
		_, _ = io.WriteString(asks, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+upgrade.Protocol+"\r\n\r\n")
		_, _ = io.Copy(io.Discard, asks)
	})
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.URL, cfg.Way, cfg.LossTimeout = m.url(), new(lane.Way), 100*time.Millisecond
	_, err := lane.Dial(t.Context(), cfg)
	testkit.WantReason(t, err, fault.CoreUnreachable)
	conn, err := lane.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Upgraded() {
		t.Error("it is tried again immediately")
	}
}

// What the core refuses is refused once: there is no second way around that.
func TestARefusalIsNoReasonForAnotherWay(t *testing.T) {
	c := newCore(t, nil)
	m := newMiddlebox(t, c.addr, func(m *middlebox, asks net.Conn, head string) { m.pass(asks, asks, head) })
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.URL, cfg.Way, cfg.Cluster = m.url(), new(lane.Way), "other"
	for n := range int32(3) {
		_, err := lane.Dial(t.Context(), cfg)
		testkit.WantReason(t, err, fault.ClusterMismatch)
		if asked := m.asked.Load(); asked != n+1 {
			t.Fatalf("attempt %d has asked %d times", n+1, asked)
		}
	}
}

// opened is a connection after the switch, without this package's runner.
func opened(t testing.TB, addr, fields string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n", runnerv1connect.RunnerServiceAttachProcedure, addr, upgrade.Protocol, fields)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, res
}

// The switch is one of the port's requests: who may not open a lane does not get one,
// nor does what names a host that is not the core's, or comes from a web page.
func TestNobodyIsUpgradedWhoMayNotOpenALane(t *testing.T) {
	s := newSite(t)
	addr := strings.TrimPrefix(s.plain, "http://")
	for fields, want := range map[string]int{
		"":                                   http.StatusUnauthorized,
		"Authorization: Bearer nonsense\r\n": http.StatusUnauthorized,
		"Authorization: Bearer " + s.secret + "\r\nOrigin: https://evil.example\r\n": http.StatusForbidden,
		"Authorization: Bearer " + s.secret + "\r\nSec-Fetch-Site: cross-site\r\n":   http.StatusForbidden,
		"Authorization: Bearer " + s.secret + "\r\n":                                 http.StatusSwitchingProtocols,
	} {
		if _, res := opened(t, addr, fields); res.StatusCode != want {
			t.Errorf("%q: %s, want %d", fields, res.Status, want)
		}
	}
}

// A runner waits for the switch; who does not gets none.
func TestBytesBeforeTheSwitchAreRefused(t *testing.T) {
	c := newCore(t, nil)
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n\x00\x00", runnerv1connect.RunnerServiceAttachProcedure, c.addr, upgrade.Protocol)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if answer, err := io.ReadAll(conn); len(answer) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q, %v", answer, err)
	}
}

// oddBytes is what no runner sends after the switch. Some of it begins as a lane does.
func oddBytes(t testing.TB) map[string]string {
	first, err := proto.Marshal(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{hello("bad")}})
	if err != nil {
		t.Fatal(err)
	}
	message := func(flags byte, length uint32, b []byte) string {
		return string(append(binary.BigEndian.AppendUint32([]byte{flags}, length), b...))
	}
	hello := message(0, uint32(len(first)), first)
	return map[string]string{
		"nothing":                      "",
		"half a prefix":                "\x00\x00",
		"HTTP":                         "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"a length of 4 GiB":            message(0, 1<<32-1, nil),
		"an end":                       message(2, 2, []byte("{}")),
		"what is compressed":           message(1, uint32(len(first)), first),
		"unknown flags":                message(0x80, uint32(len(first)), first),
		"no protobuf":                  message(0, 4, []byte{0xff, 0xff, 0xff, 0xff}),
		"a lane, then half a message":  hello + message(0, 100, []byte("x")),
		"a lane, then 4 GiB":           hello + message(0, 1<<32-1, []byte("x")),
		"a lane, then no protobuf":     hello + message(0, 4, []byte{0xff, 0xff, 0xff, 0xff}),
		"a lane, then an end":          hello + message(2, 2, []byte("{}")),
		"a lane, then what compressed": hello + message(1, uint32(len(first)), first),
	}
}

// Whatever is sent after the switch costs its sender the connection, the core next to
// nothing, and other lanes nothing.
func TestOddBytesAfterTheSwitch(t *testing.T) {
	c := newCore(t, func(cfg *lane.HubConfig) { cfg.LossTimeout = 300 * time.Millisecond })
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.Heartbeat = 50 * time.Millisecond
	l, _ := c.attach(cfg)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, sent := range oddBytes(t) {
		t.Run(name, func(t *testing.T) {
			conn, res := opened(t, c.addr, "")
			if res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(res.Status)
			}
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, io.LimitReader(conn, 64<<10)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the core keeps the connection: %v", err)
			}
			if strings.HasPrefix(name, "a lane") {
				within(t, 5*time.Second, "the lane's end", c.lane().Done())
			}
		})
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("it cost %d bytes", n)
	}
	if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
		t.Errorf("another lane: %v", err)
	}
}

// FuzzAfterTheSwitch sends anything to a core in place of a lane.
func FuzzAfterTheSwitch(f *testing.F) {
	for _, sent := range oddBytes(f) {
		f.Add([]byte(sent))
	}
	c := newCore(f, func(cfg *lane.HubConfig) { cfg.MaxLanesPerAddress, cfg.OnAttach = 1<<30, nil })
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn, res := opened(t, c.addr, "")
		if res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res.Status)
		}
		_, _ = conn.Write(sent) // the core may have hung up
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the core keeps the connection: %v", err)
		}
	})
}

// stuck is a connection whose other end reads nothing from some moment on.
type stuck struct {
	net.Conn
	since  *atomic.Bool
	closed chan struct{}
	once   *sync.Once
}

func (s stuck) Write(p []byte) (int, error) {
	if s.since.Load() {
		<-s.closed
		return 0, net.ErrClosed
	}
	return s.Conn.Write(p)
}

func (s stuck) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// A core that sends, and does not read, has lost the runner.
func TestACoreThatDoesNotReadIsLost(t *testing.T) {
	c := newCore(t, patient)
	var since atomic.Bool
	cfg := c.config("edge-1", &fakeRunner{execute: echo})
	cfg.Heartbeat = 10 * time.Millisecond
	cfg.DialWith(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return stuck{conn, &since, make(chan struct{}), new(sync.Once)}, nil
	})
	_, cl := c.attach(cfg)
	since.Store(true)
	within(t, 5*time.Second, "the runner's end", cl.Done())
	testkit.WantReason(t, cl.Err(), fault.CoreUnreachable, "has not read")
}
