package scale

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/lane"
)

const runnersRole = RolePrefix + "runners"

// Serve is a process that [Run] starts as -role with -next. It prints a line when
// it is ready, and serves until ctx ends.
func Serve(ctx context.Context, role, next string) error {
	switch role {
	case runnersRole:
		return serveRunners(ctx, next)
	case natsRole:
		return serveNATS(ctx, next)
	case respondersRole:
		return serveResponders(ctx, next)
	}
	return fmt.Errorf("no role %q", role)
}

// dials is how many lanes attach at the same time.
const dials = 16

// serveRunners attaches runners to cores that have services: "runners services url
// url ...". It is ready when every core has made every runner prepare them all.
func serveRunners(ctx context.Context, next string) error {
	words := strings.Fields(next)
	runners, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	services, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	urls := words[2:]
	all := &preparations{expected: int64(runners * services * len(urls)), prepared: make(chan struct{})}
	conns := make([][]*lane.Conn, runners)
	g := &errgroup.Group{}
	g.SetLimit(dials)
	for i := range conns {
		g.Go(func() error {
			id := fmt.Sprintf("simulated-%04d", i)
			info := &ruedov1.Runner{Id: id, Name: id, Host: "simulated", Version: "simulated", Concurrency: 64, Queue: 1024, StartTime: timestamppb.Now()}
			for _, url := range urls {
				c, err := lane.Dial(ctx, lane.ConnConfig{URL: url, Runner: info, Cluster: clusterID, Bind: func(executor.Source) executor.Runner { return simulated{id, all} }})
				if err != nil {
					return err
				}
				conns[i] = append(conns[i], c)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if all.expected > 0 {
		select {
		case <-all.prepared:
		case <-ctx.Done():
		}
	}
	fmt.Println("ready")
	<-ctx.Done()
	for _, of := range conns {
		for _, c := range of {
			c.Close()
		}
	}
	return nil
}

// preparations counts what runners have prepared.
type preparations struct {
	expected int64
	count    atomic.Int64
	prepared chan struct{} // closed when there are so many
}

// simulated is a runner that answers with the input.
type simulated struct {
	id string
	*preparations
}

func (s simulated) Execute(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	info := &ruedov1.CallInfo{Runner: s.id, CpuTime: durationpb.New(10 * time.Microsecond), Fuel: 1000, MemoryBytes: 128 << 10}
	return &runnerv1.ExecuteResponse{Output: req.GetInput(), Info: info}, nil
}

func (s simulated) Prepare(context.Context, *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	if s.count.Add(1) == s.expected {
		close(s.prepared)
	}
	return &runnerv1.PrepareResponse{Preparation: &ruedov1.Preparation{Isolation: ruedov1.Isolation_ISOLATION_PRISTINE}}, nil
}
