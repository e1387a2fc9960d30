package scale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

const (
	natsRole       = RolePrefix + "nats"
	respondersRole = RolePrefix + "responders"
)

// nats measures request and reply through an embedded NATS server: with as many
// subjects as a core has services, and with as many members of a queue group as
// a core has runners.
func (b *bench) nats() ([]table.Row, error) {
	var rows []table.Row
	for _, c := range []*curve{
		newCurve("subjects", "subject", b.sizes(10, 100, 1000, 10_000)),
		newCurve("members", "member", b.sizes(1, 10, 100, 1000)),
	} {
		servers := map[int]*natsServer{}
		for _, n := range c.sizes {
			subjects, members := n, 1
			if c.axis == "members" {
				subjects, members = few, n
			}
			s, err := b.newNATS(subjects, members)
			if err != nil {
				return nil, err
			}
			defer s.close()
			servers[n] = s
		}
		for round := range b.o.Rounds + 1 {
			for _, n := range turns(c.sizes, round) {
				many, err := servers[n].measure(b.ctx, connections, b.o.Slice)
				if err != nil {
					return nil, err
				}
				one, err := servers[n].measure(b.ctx, 1, b.o.Slice)
				if err != nil {
					return nil, err
				}
				m, err := servers[n].Memory()
				if err != nil {
					return nil, err
				}
				if round > 0 { // the first warms up
					c.add(n, call, many)
					c.add(n, alone, one)
					c.add(n, resident, float64(m.Resident)/mb)
					c.add(n, private, float64(m.Private)/mb)
				}
			}
		}
		more, err := c.finish()
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
		b.group.Stop()
		b.group = process.NewGroup(b.ctx)
	}
	return rows, nil
}

// natsServer is a server with those that answer, and connections that ask.
type natsServer struct {
	*process.Process
	subjects int
	conns    []*nats.Conn
}

func subject(i int) string { return fmt.Sprintf("call.%s", serviceName(i)) }

func (b *bench) newNATS(subjects, members int) (*natsServer, error) {
	p, err := b.group.Self(natsRole, "")
	if err != nil {
		return nil, err
	}
	url, err := p.Line()
	if err != nil {
		return nil, err
	}
	responders, err := b.group.Self(respondersRole, fmt.Sprintf("%d %d %s", members, subjects, url))
	if err != nil {
		return nil, err
	}
	if _, err := responders.Line(); err != nil {
		return nil, err
	}
	s := &natsServer{Process: p, subjects: subjects}
	for range connections {
		c, err := nats.Connect(url)
		if err != nil {
			s.close()
			return nil, err
		}
		s.conns = append(s.conns, c)
	}
	return s, nil
}

func (s *natsServer) close() {
	for _, c := range s.conns {
		c.Close()
	}
}

// measure sends requests over some of the connections for some time, and returns
// the processor time of the server for each, in microseconds.
func (s *natsServer) measure(ctx context.Context, conns int, slice time.Duration) (float64, error) {
	before, err := s.CPU()
	if err != nil {
		return 0, err
	}
	counts := make([]int, conns)
	g := &errgroup.Group{}
	ctx, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	for i, c := range s.conns[:conns] {
		g.Go(func() error {
			for next := i * s.subjects / conns; ctx.Err() == nil; next = (next + 1) % s.subjects {
				answer, err := c.Request(subject(next), []byte(input), patience)
				if err != nil {
					return err
				}
				if !bytes.Equal(answer.Data, []byte(input)) {
					return fmt.Errorf("answer %.200q is not the request", answer.Data)
				}
				counts[i]++
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	after, err := s.CPU()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return 0, errors.New("no request was answered")
	}
	return float64((after - before).Microseconds()) / float64(total), nil
}

// serveNATS is a server; it prints its address.
func serveNATS(ctx context.Context, _ string) error {
	s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoLog: true, NoSigs: true, MaxConn: 4096})
	if err != nil {
		return err
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		return errors.New("the NATS server does not start")
	}
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	return nil
}

// serveResponders answers requests with their data: "members subjects url". Each
// member has a connection of its own.
func serveResponders(ctx context.Context, next string) error {
	words := strings.Fields(next)
	members, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	subjects, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	for range members {
		c, err := nats.Connect(words[2])
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range subjects {
			if _, err := c.QueueSubscribe(subject(i), "runners", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil { // who asked may be gone
				return err
			}
		}
		if err := c.Flush(); err != nil {
			return err
		}
	}
	fmt.Println("subscribed")
	<-ctx.Done()
	return nil
}
