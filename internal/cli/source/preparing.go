package source

import (
	"context"
	"slices"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// firstLook is how long the runners may take before they are named.
const firstLook = 2 * time.Second

// prepare asks the core to publish. While that takes longer than pause, it prints
// which runners the core waits for; each later line comes after twice the time.
func prepare(s *session.Session, core *client.Client, req *ruedov1.PublishServiceRequest, pause time.Duration) (*ruedov1.PublishServiceResponse, error) {
	s.Progressf("preparing on the runners")
	type outcome struct {
		res *ruedov1.PublishServiceResponse
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		res, err := core.Services.PublishService(s.Ctx, req)
		done <- outcome{res, err}
	}()
	began := time.Now()
	for ; ; pause *= 2 {
		select {
		case o := <-done:
			return o.res, o.err
		case <-time.After(pause):
		}
		if waiting := preparing(s.Ctx, core, req.GetName()); len(waiting) > 0 {
			s.Progressf("  after %s, still compiling and starting it: %s", output.Duration(time.Since(began)), output.Safe(strings.Join(waiting, ", ")))
		}
	}
}

// preparing returns the runners that have yet to prepare a service. What it
// cannot find out is left out.
func preparing(ctx context.Context, core *client.Client, service string) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	res, err := core.Cluster.ListRunners(ctx, &ruedov1.ListRunnersRequest{})
	if err != nil {
		return nil // only a hint
	}
	var names []string
	for _, r := range res.GetItems() {
		if slices.Contains(r.GetPreparing(), service) {
			names = append(names, r.GetId())
		}
	}
	return names
}
