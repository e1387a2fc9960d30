// Package decorate turns the decorators of a service into rules for its calls.
//
// Make decorators with a [Compiler], combine them once per service with
// [Combine], and wrap the dispatcher with [Rules.Middleware]. A schema is
// compiled once, by the first [Decorator.Ready]. After that, checking a call
// compiles nothing and looks nothing up.
//
// # What decorators add up to
//
// An input must match all schemas: those of the decorators, then the one that
// the types of the service make ([Compiler.Types]). The strictest value of each limit wins.
// [Rules.Limits] has every limit: if no decorator sets it, its default from the
// table of limits applies. A service is idempotent if one decorator says so, sees the
// field Authorization if one does, and may connect to what any of them grants.
//
// # Who enforces what
//
// Rules about a call's input (schema, size) are enforced here and cost a runner
// nothing. Rules about one instance (memory, time, output, logs) travel in the
// plan ([Rules.Plan]) and are enforced in the sandbox.
//
// # Errors
//
// Package schema checks inputs and bounds what a check costs. This package
// turns its findings into errors that name the decorator and the service.
package decorate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Rules are what the decorators of one service add up to. They are immutable
// and safe for concurrent use.
type Rules struct {
	// Limits has every field set that has a default; see [limits.Table].
	Limits *ruedov1.Limits
	// Idempotent is true if a call may be executed twice.
	Idempotent bool
	// Authorization are the names of the decorators that pass the field Authorization of
	// requests on to the service. If there are none, it stays between caller and core.
	Authorization []string
	// Egress are the rules of what the service may connect to: those of all its
	// decorators, in their canonical texts, sorted. See package grant.
	Egress []string

	kind       ruedov1.Kind
	decorators []*Decorator
	// restored is the service whose own limits hold instead; nil if those of the
	// decorators do.
	restored *ruedov1.Service
}

// Combine combines decorators for a service of a kind, in the order in which the
// service names them.
func Combine(kind ruedov1.Kind, ds []*Decorator) *Rules {
	r := &Rules{kind: kind, decorators: ds}
	var granted [][]string
	for _, d := range ds {
		r.Idempotent = r.Idempotent || d.GetPolicy().GetIdempotent()
		if d.GetPolicy().GetPassAuthorization() {
			r.Authorization = append(r.Authorization, d.GetName())
		}
		granted = append(granted, d.GetGrants().GetEgress())
	}
	r.Limits = limits.Combine(r.kind, r.limiting())
	r.Egress = grant.Union(granted...)
	return r
}

// Restore returns the rules with the limits that a rollback of s has restored,
// or r if there are none.
func (r *Rules) Restore(s *ruedov1.Service) *Rules {
	if s.GetLimits() == nil {
		return r
	}
	restored := *r
	restored.restored = s
	restored.Limits = limits.Combine(r.kind, restored.limiting())
	return &restored
}

// limiting returns the decorators whose limits hold.
func (r *Rules) limiting() []*ruedov1.Decorator {
	if r.restored != nil {
		return []*ruedov1.Decorator{{Limits: r.restored.GetLimits()}}
	}
	stored := make([]*ruedov1.Decorator, len(r.decorators))
	for i, d := range r.decorators {
		stored[i] = d.Decorator
	}
	return stored
}

// Effective says for each limit which decorator sets it. It is made for each call
// of Effective: nobody asks for that of most services.
func (r *Rules) Effective() []*ruedov1.EffectiveLimit {
	all := limits.Effective(r.kind, r.limiting())
	if r.restored != nil {
		for _, e := range all {
			e.Follows = fmt.Sprintf("revision %d", r.restored.GetRevision().GetNumber())
		}
	}
	return all
}

// Grants says for each rule of Egress which decorators grant it.
func (r *Rules) Grants() []*ruedov1.EffectiveGrant {
	var all []*ruedov1.EffectiveGrant
	for _, rule := range r.Egress {
		g := &ruedov1.EffectiveGrant{Rule: rule}
		for _, d := range r.decorators {
			if slices.Contains(d.GetGrants().GetEgress(), rule) {
				g.Decorators = append(g.Decorators, d.GetName())
			}
		}
		all = append(all, g)
	}
	return all
}

// Schemas returns the input schemas that a call must pass.
func (r *Rules) Schemas() []*ruedov1.InputSchema {
	var out []*ruedov1.InputSchema
	for _, d := range r.decorators {
		if d.schema != nil {
			out = append(out, &ruedov1.InputSchema{Decorator: d.GetName(), Schema: d.source()})
		}
	}
	return out
}

// Middleware refuses calls whose input breaks the rules: INPUT_TOO_LARGE, or
// INPUT_INVALID with every violated field named.
func (r *Rules) Middleware(next executor.Executor) executor.Executor {
	return executor.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		if err := r.Check(ctx, req.GetService(), req.GetInput()); err != nil {
			return nil, err
		}
		return next.Execute(ctx, req)
	})
}

// Check returns what is wrong with an input, or with a schema of the service,
// in which case the service accepts no calls. The call has not started then.
func (r *Rules) Check(ctx context.Context, service string, input []byte) error {
	if n := uint64(len(input)); n > r.Limits.GetInputBytes() {
		return r.TooLarge(service, text.Exact(n))
	}
	err := r.checkSchemas(ctx, service, input)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		refused := *e
		refused.NotStarted = true
		return &refused
	}
	return err
}

func (r *Rules) checkSchemas(ctx context.Context, service string, input []byte) error {
	var c *schema.Checker // of the first decorator with a schema
	typesAlone := false
	for _, d := range r.decorators {
		if d.schema == nil {
			continue
		}
		if err := d.Ready(ctx); err != nil {
			return err
		}
		if c == nil {
			var err error
			if c, err = d.schema.Checker(ctx, input); err != nil {
				return unreadable(err, service, d.GetName())
			}
			defer c.Close()
			typesAlone = d.GetName() == ""
		}
		if !c.Check(d.schema) {
			break
		}
	}
	if c == nil {
		return nil
	}
	return verdict(c, service, typesAlone)
}

// Refused returns what is wrong with a schema, as [Rules.Check] would. It
// compiles nothing: of a schema that is not compiled yet, nothing is known.
func (r *Rules) Refused() error {
	ended, end := context.WithCancel(context.Background())
	end()
	for _, d := range r.decorators {
		if err := d.Ready(ended); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// Limit returns the effective value of the limit with a name, nil if there is
// no such limit.
func (r *Rules) Limit(name string) *ruedov1.EffectiveLimit {
	for _, e := range r.Effective() {
		if e.GetLimit() == name {
			return e
		}
	}
	return nil
}
