// Package collect is the jobs that remove from the store what nobody needs:
// revisions of services beyond the number that is kept, modules that no revision
// uses, chunks that broken uploads left behind, and cordons that have expired.
//
// A publish never loses to them: what they delete is deleted in a transaction
// that fails if a service was published since they looked. What is too young is
// left alone, so that a module that was just uploaded can still be published;
// see "Why does a module that is asked for count as new?" in docs/RATIONALE.md.
package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/modules"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Defaults of Config.
const (
	DefaultInterval  = time.Hour
	DefaultRevisions = 50
	DefaultModuleAge = 24 * time.Hour
	MinUploadAge     = time.Hour
)

// writeTries bounds how often publishes can make a deletion start over. What is
// left is for the next time.
const writeTries = 8

// Config says what is kept. The zero value of a field means its default, unless
// it says otherwise.
type Config struct {
	// Interval is how often each job runs. Default: [DefaultInterval].
	Interval time.Duration
	// Revisions is how many revisions of a service are kept, the newest ones. The
	// live one, and the one before it, are kept in any case. Default:
	// [DefaultRevisions].
	Revisions int
	// RevisionAge keeps revisions that are younger, whatever their number. Zero
	// keeps none because of its age.
	RevisionAge time.Duration
	// ModuleAge keeps modules that no revision uses for at least as long after they
	// were last written or asked for. Default: [DefaultModuleAge]. Negative: no
	// time at all.
	ModuleAge time.Duration
	// UploadAge keeps chunks without a manifest for at least as long: they may
	// belong to an upload that is still being written. Default: ModuleAge, but at
	// least [MinUploadAge].
	UploadAge time.Duration
}

// Store is what the jobs read and delete from; it is a store.Store.
type Store interface {
	ServicesSince(ctx context.Context, since int64) ([]*ruedov1.Service, int64, error)
	Service(ctx context.Context, name string) (*ruedov1.Service, error)
	Revisions(ctx context.Context, service string, p store.Page) ([]*ruedov1.Revision, uint64, error)
	DeleteRevisions(ctx context.Context, fence fleet.Fence, svc *ruedov1.Service, numbers []uint64) (bool, error)
	All(ctx context.Context) iter.Seq2[modules.Stored, error]
	Look(ctx context.Context, digest string) (modules.Stored, error)
	DeleteModules(ctx context.Context, fence fleet.Fence, unused []modules.Stored, since int64) (bool, error)
	Leftover(ctx context.Context, digest string, before int64) (chunks int, old bool, err error)
	DeleteChunks(ctx context.Context, fence fleet.Fence, digest string, before int64) (int, error)
	ListCordons(ctx context.Context) (map[string]*ruedov1.Cordon, error)
	ExpireCordon(ctx context.Context, fence fleet.Fence, c *ruedov1.Cordon) (bool, error)
}

// Jobs returns the jobs.
func Jobs(s Store, cfg Config) []jobs.Job {
	cfg.Interval = cmp.Or(cfg.Interval, DefaultInterval)
	cfg.Revisions = cmp.Or(cfg.Revisions, DefaultRevisions)
	cfg.ModuleAge = cmp.Or(cfg.ModuleAge, DefaultModuleAge)
	cfg.UploadAge = cmp.Or(cfg.UploadAge, max(cfg.ModuleAge, MinUploadAge))
	c := &collector{cfg, s}
	return []jobs.Job{
		{
			Name: "collect-revisions", Description: fmt.Sprintf("Remove revisions of services beyond the newest %d.", cfg.Revisions),
			Interval: cfg.Interval, Run: c.revisions,
		},
		{
			Name: "collect-modules", Description: "Remove modules that no revision uses.",
			Interval: cfg.Interval, Lookback: cfg.ModuleAge, Run: c.modules,
		},
		{
			Name: "collect-uploads", Description: "Remove what broken uploads left behind.",
			Interval: cfg.Interval, Lookback: cfg.UploadAge, Run: c.uploads,
		},
		{
			Name: "expire-cordons", Description: "Remove cordons of runners that have ended on their own.",
			Interval: min(cfg.Interval, maxCordonInterval), Run: c.cordons,
		},
	}
}

type collector struct {
	cfg   Config
	store Store
}

// page bounds one read of revisions.
var page = store.Page{Items: 256, Bytes: 1 << 20}

// revisions removes those that are beyond the number that is kept.
func (c *collector) revisions(ctx context.Context, turn *jobs.Turn) (string, error) {
	services, _, err := c.store.ServicesSince(ctx, 0)
	if err != nil {
		return "", err
	}
	removed, from, unreadable := 0, 0, 0
	for _, svc := range services {
		switch {
		case svc.GetRevision() == nil:
			unreadable++ // its next publish goes on after its highest revision
			continue
		case svc.GetLatest() <= uint64(c.cfg.Revisions):
			continue
		}
		n, err := c.trim(ctx, turn, svc)
		if removed += n; n > 0 {
			from++
		}
		if err != nil {
			return "", err
		}
	}
	result := fmt.Sprintf("%s %s of %s", did(turn), text.Count(removed, "revision"), text.Count(from, "service"))
	if unreadable > 0 {
		result += fmt.Sprintf("; %s cannot be read", text.Count(unreadable, "service"))
	}
	return result, nil
}

// trim removes the revisions of one service, and returns how many. If the service
// is published meanwhile, it starts over, and in the end leaves the rest for the
// next time.
func (c *collector) trim(ctx context.Context, turn *jobs.Turn, svc *ruedov1.Service) (removed int, err error) {
	for range writeTries {
		n, done, err := c.trimAs(ctx, turn, svc)
		if removed += n; err != nil || done {
			return removed, err
		}
		svc, err = c.store.Service(ctx, svc.GetName())
		if errors.Is(err, fault.ServiceNotFound) || errors.Is(err, fault.Integrity) {
			return removed, nil // it was deleted, with its revisions, or cannot be read by now
		}
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// trimAs is trim for a service as it was read. It returns false if the service
// has changed since.
func (c *collector) trimAs(ctx context.Context, turn *jobs.Turn, svc *ruedov1.Service) (removed int, done bool, err error) {
	live := svc.GetRevision().GetNumber()
	p := page
	p.From = svc.GetLatest() - uint64(c.cfg.Revisions)
	for p.From > 0 {
		revs, next, err := c.store.Revisions(ctx, svc.GetName(), p)
		if err != nil {
			return removed, false, err
		}
		var numbers []uint64
		for _, rev := range revs {
			n := rev.GetNumber()
			// A rollback without a number makes the one before the live one live.
			if n == live || n+1 == live || time.Since(rev.GetCreateTime().AsTime()) < c.cfg.RevisionAge {
				continue
			}
			if numbers = append(numbers, n); len(numbers) == store.MaxDelete {
				next = n - 1
				break
			}
		}
		if len(numbers) > 0 && !turn.DryRun {
			done, err := c.store.DeleteRevisions(ctx, turn.Fence, svc, numbers)
			if err != nil || !done {
				return removed, false, err
			}
		}
		removed += len(numbers)
		for _, n := range numbers {
			turn.Remove("revision", fmt.Sprintf("%s@%d", svc.GetName(), n), 0)
		}
		p.From = next
	}
	return removed, true, nil
}

// modules removes those that no revision uses.
func (c *collector) modules(ctx context.Context, turn *jobs.Turn) (string, error) {
	before := turn.Before(c.cfg.ModuleAge)
	candidates := map[string]modules.Stored{}
	all := 0
	for m, err := range c.store.All(ctx) {
		switch {
		case err != nil:
			return "", err
		case m.Version == 0:
			continue
		case m.Version <= before:
			candidates[m.Digest] = m
		}
		all++
	}
	var services []*ruedov1.Service
	var at int64
	removed, size := 0, uint64(0)
	for range writeTries {
		if len(candidates) == 0 {
			break
		}
		var err error
		if services, at, err = c.store.ServicesSince(ctx, at); err != nil {
			return "", err
		}
		if err := c.keepUsed(ctx, candidates, services); err != nil {
			return "", err
		}
		n, bytes, err := c.removeModules(ctx, turn, candidates, at)
		removed, size = removed+n, size+bytes
		if err != nil {
			return "", err
		}
	}
	result := fmt.Sprintf("%s %s, %s", did(turn), text.Count(removed, "module"), text.Size(size))
	if left := len(candidates); left > 0 {
		result += fmt.Sprintf("; %d are left, because services are being published all the time", left)
	}
	return result + fmt.Sprintf("; %d stay", all-removed), nil
}

// keepUsed takes out of candidates what services use, in any revision. If it
// cannot tell, it fails, so that nothing is removed.
func (c *collector) keepUsed(ctx context.Context, candidates map[string]modules.Stored, services []*ruedov1.Service) error {
	for _, svc := range services {
		if svc.GetRevision() == nil {
			return unknown("service " + svc.GetName())
		}
		delete(candidates, svc.GetRevision().GetModule())
	}
	for _, svc := range services {
		p := page
		p.From = svc.GetLatest()
		for len(candidates) > 0 && p.From > 0 && svc.GetLatest() > 1 { // the only revision is the live one
			revs, next, err := c.store.Revisions(ctx, svc.GetName(), p)
			if err != nil {
				return err
			}
			for _, rev := range revs {
				if rev.GetModule() == "" {
					return unknown(fmt.Sprintf("revision %d of service %s", rev.GetNumber(), svc.GetName()))
				}
				delete(candidates, rev.GetModule())
			}
			p.From = next
		}
	}
	return nil
}

func unknown(what string) error {
	return fault.New(fault.Integrity, "%s in the store cannot be read, so which modules it uses is not known; none was removed", what).
		WithFix("publish the service again, or delete it")
}

// removeModules removes the candidates, as of a revision of the store. It stops
// when a service was published since; what is left stays in candidates.
func (c *collector) removeModules(ctx context.Context, turn *jobs.Turn, candidates map[string]modules.Stored, at int64) (removed int, size uint64, err error) {
	for len(candidates) > 0 {
		var batch []modules.Stored
		for _, m := range candidates {
			if batch = append(batch, m); len(batch) == modules.MaxDelete {
				break
			}
		}
		if !turn.DryRun {
			done, err := c.store.DeleteModules(ctx, turn.Fence, batch, at)
			if err != nil {
				return removed, size, err
			}
			if !done {
				// Those that were asked for meanwhile are no longer old enough.
				return removed, size, c.keepTouched(ctx, candidates, batch)
			}
		}
		for _, m := range batch {
			delete(candidates, m.Digest)
			removed, size = removed+1, size+m.Bytes
			turn.Remove("module", m.Digest, m.Bytes)
			if turn.DryRun {
				continue
			}
			if _, err := c.store.DeleteChunks(ctx, turn.Fence, m.Digest, math.MaxInt64); err != nil {
				return removed, size, err // they are a broken upload from now on
			}
		}
	}
	return removed, size, nil
}

// keepTouched takes those of a batch out of candidates that were written since
// they were listed: somebody is about to use them.
func (c *collector) keepTouched(ctx context.Context, candidates map[string]modules.Stored, batch []modules.Stored) error {
	for _, m := range batch {
		now, err := c.store.Look(ctx, m.Digest)
		if err != nil {
			return err
		}
		if now.Version != m.Version {
			delete(candidates, m.Digest)
		}
	}
	return nil
}

// uploads removes chunks without a manifest.
func (c *collector) uploads(ctx context.Context, turn *jobs.Turn) (string, error) {
	before := turn.Before(c.cfg.UploadAge)
	removed, chunks := 0, 0
	for m, err := range c.store.All(ctx) {
		if err != nil {
			return "", err
		}
		if m.Version != 0 {
			continue
		}
		n, old, err := c.store.Leftover(ctx, m.Digest, before)
		if err == nil && old && !turn.DryRun {
			n, err = c.store.DeleteChunks(ctx, turn.Fence, m.Digest, before)
		}
		if err != nil {
			return "", err
		}
		if old && n > 0 {
			removed, chunks = removed+1, chunks+n
			turn.Remove("upload", m.Digest, 0)
		}
	}
	return fmt.Sprintf("%s %s, %s", did(turn), text.Count(removed, "upload"), text.Count(chunks, "chunk")), nil
}

func did(turn *jobs.Turn) string {
	if turn.DryRun {
		return "would remove"
	}
	return "removed"
}
