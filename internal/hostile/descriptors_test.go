//go:build hostile

package hostile

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A core whose peers use up its descriptors continues to work: with its open
// connections, with new ones, and with its runners.
func TestDescriptors(t *testing.T) {
	const limit, peers = 256, 400
	call := callProcedure(victimName)
	for _, tt := range []struct {
		name string
		open func(c *cluster) (net.Conn, error)
	}{
		{"connections without a request", (*cluster).dial},
		{"idle connections", func(c *cluster) (net.Conn, error) {
			conn, err := c.dial()
			if err != nil {
				return nil, err
			}
			_, err = fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", c.address())
			return conn, err
		}},
		{"calls whose body does not come", func(c *cluster) (net.Conn, error) { return c.halfOpen(call) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, "/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" server`, limit), program)
			b := &bout{cluster: c, ctx: t.Context(), row: &row{}, serial: new(atomic.Int64), move: tt.name}
			v := newVictim(t, c)
			v.watch(func() { time.Sleep(time.Second) })
			lanes := strings.Count(c.core.output(0), `"runner attached"`)
			c.core.resetPeak(t)
			attack := v.watch(func() {
				var conns []net.Conn
				for range peers {
					conn, err := tt.open(c)
					if err != nil {
						continue // the core's backlog is full, too
					}
					defer conn.Close()
					conns = append(conns, conn)
				}
				t.Logf("%d connections were opened, the core has %d sockets", len(conns), c.sockets(t))
				for range 8 {
					b.reachable(5, 5*time.Second)
					time.Sleep(time.Second)
				}
			})
			// A connection can be closed as idle at the moment when its client reuses
			// it. That is rare, and HTTP/1.1 allows it.
			if len(attack.problems)*200 > attack.calls {
				t.Errorf("%d of %d calls of the victim failed: %s", len(attack.problems), attack.calls, attack.problems[0])
			}
			if attack.max > time.Second {
				t.Errorf("a call of the victim took %s, the most is 1 s", ms(attack.max))
			}
			for _, text := range append(b.wrong, b.late...) {
				t.Error(text)
			}
			if !c.core.alive() {
				t.Fatalf("the core is dead:\n%s", tail(c.core.output(0), 2000))
			}
			if n := strings.Count(c.core.output(0), `"runner attached"`); n != lanes || c.ready(t.Context()) != runnerCount {
				t.Errorf("the lanes were lost: runners attached %d times, %d are ready", n, c.ready(t.Context()))
			}
			s := c.core.state(t)
			t.Logf("the victim: %s; the core: %d files, peak %s", attack, s.files, mib(s.peak))
			if s.peak > coreMemory {
				t.Errorf("the core had up to %s of memory, the most is %s", mib(s.peak), mib(coreMemory))
			}
		})
	}
}
