package publish

import (
	"errors"
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// checkPlacement returns REQUEST_INVALID if the placement of a revision is not a
// label selector.
func checkPlacement(rev *ruedov1.Revision) error {
	_, err := labels.ParseSelector(rev.GetPlacement())
	if err == nil {
		return nil
	}
	e := *fault.FromError(err)
	e.Message = "the placement of service " + rev.GetService() + ": " + e.Message
	return (&e).With("service", rev.GetService())
}

// unmet reports whether a plan could not be prepared because no ready runner meets
// its placement.
func unmet(err error) bool {
	return errors.Is(err, fault.NoRunner) && fault.FromError(err).Meta[fault.MetaPlacement] != ""
}

// placed decides what becomes of a publish after its revision was prepared, with
// err or without. If no runner meets the placement, it goes on with a warning:
// such runners may come later. But it fails if a runner can execute the live
// revision, because calls that succeed now would fail, unless it is forced.
func (p *Publisher) placed(live, next *ruedov1.Service, force bool, err error) (warnings []string, _ error) {
	placement := next.GetRevision().GetPlacement()
	switch {
	case err == nil && p.cfg.AnyPlacement && placement != "":
		return []string{fmt.Sprintf("the placement %s is stored but not applied: this cluster executes services on any runner", placement)}, nil
	case !unmet(err):
		return nil, err
	case !force && p.executable(live):
		e := *fault.FromError(err)
		e.Message += fmt.Sprintf(". Revision %d stays live", live.GetRevision().GetNumber())
		e.Fix = "start a runner with such labels (runner.labels), correct the placement, or force the publish"
		return nil, (&e).With("service", next.GetName(), "live", live.GetRevision().GetNumber())
	}
	return []string{fmt.Sprintf("%s. Until there is one, calls fail with %s", err, fault.NoRunner)}, nil
}

// executable reports whether a runner can execute the live revision of a service,
// or is about to prepare it.
func (p *Publisher) executable(live *ruedov1.Service) bool {
	if live.GetRevision() == nil {
		return false
	}
	plan, err := p.cfg.Catalog.State(live.GetName())
	if err != nil {
		return false
	}
	_, why := p.cfg.Dispatcher.Prepared(plan)
	return why == nil
}
