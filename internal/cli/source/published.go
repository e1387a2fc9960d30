package source

import (
	"context"
	"fmt"
	"sync"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/derive"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Sandbox is where a module is going to run.
type Sandbox interface {
	// Ready says that a module is going to be expected, so that what compiles it
	// can start.
	Ready()
	// Expect compiles a module and holds the code until ctx ends.
	Expect(ctx context.Context, wasm []byte, l sandbox.Limits)
}

// PublishDir builds a directory and publishes it to a cluster in this process,
// whose runners try it. They compile the module while it is examined and stored,
// and then get ready for the next. The listing is of the last time.
func PublishDir(s *session.Session, core *client.Client, dir string, runners Sandbox, last *derive.Listing) error {
	runners.Ready()
	defer runners.Ready() // before the next save, when it would compete with the build
	var expecting sync.WaitGroup
	defer expecting.Wait()
	ctx, cancel := context.WithCancel(s.Ctx)
	defer cancel()
	src, err := open(s, dir, "", Overlay{Dir: ".", Listing: last}, func(src *Source) {
		if src.fetchDecorators(s, core) == nil { // who needs them says what is missing
			wasm, limits := src.Wasm, src.limits()
			expecting.Go(func() { runners.Expect(ctx, wasm, limits) })
		}
	})
	if err != nil {
		return err
	}
	if err := src.Examine(s, false); err != nil {
		return session.About(err, "service %s", src.Name())
	}
	res, err := src.Publish(s, core, false)
	if err != nil {
		return session.About(err, "service %s", src.Name())
	}
	return PrintPublished(s, len(src.Wasm), res)
}

// PrintPublished prints what was published, size bytes of module.
func PrintPublished(s *session.Session, size int, res *ruedov1.PublishServiceResponse) error {
	if done, err := s.PrintMessage(res, res.GetService().GetName()); done {
		return err
	}
	r := res.GetService().GetRevision()
	what, live := "published", ""
	if staged := res.GetStaged(); staged != nil {
		what, live = "stored", fmt.Sprintf("; revision %d stays live", r.GetNumber())
		r = staged
	}
	if res.GetUnchanged() {
		what = "unchanged"
	}
	var failed int
	var slowest time.Duration
	for _, p := range res.GetPreparations() {
		if p.GetLate() {
			failed++
			s.Warnf("runner %s %s", p.GetRunner(), output.Safe(p.GetError()))
			continue
		}
		if p.GetError() != "" {
			failed++
			s.Warnf("runner %s cannot prepare it: %s", p.GetRunner(), output.Safe(p.GetError()))
			continue
		}
		slowest = max(slowest, p.GetCompileTime().AsDuration())
	}
	if was := res.GetPreviousOrigin(); was != "" && was != r.GetOrigin() {
		s.Infof("the revision before was published from %s", output.Safe(was))
	}
	prepared := ""
	if n := len(res.GetPreparations()) - failed; n > 0 {
		prepared = ", prepared by " + text.Count(n, "runner") + " (compile " + output.Duration(slowest) + ")"
	}
	return s.Printf("%s %s: revision %d, %s, %s%s%s", what, res.GetService().GetName(), r.GetNumber(), output.Digest(r.GetModule()), output.Size(uint64(size)), prepared, live)
}
