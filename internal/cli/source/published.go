package source

import (
	"fmt"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// PublishDir builds a directory and publishes it, without trying it on this
// machine: the runners of a cluster in this process do the same.
func PublishDir(s *session.Session, core *client.Client, dir string) error {
	src, err := Open(s, dir, "", Overlay{Dir: "."})
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
