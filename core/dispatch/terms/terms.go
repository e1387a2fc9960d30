// Package terms says in words who cordoned a runner, until when and why. Errors,
// events and the health of the cluster use the same words.
package terms

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// maxText bounds a text that a caller has written, in bytes.
const maxText = 80

// Of returns the terms of a cordon as far as they are known, with a space in
// front: " by ada@laptop until 2026-01-02T15:04:05Z (new disks)". The texts that
// callers have written are cut.
func Of(c *ruedov1.Cordon) string {
	s := ""
	if from := c.GetFrom(); from != "" {
		s += " by " + fault.Cut(from, maxText)
	}
	if end := c.GetEndTime(); end != nil {
		s += " until " + end.AsTime().UTC().Format(time.RFC3339)
	}
	if reason := c.GetReason(); reason != "" {
		s += " (" + fault.Cut(reason, maxText) + ")"
	}
	return s
}

// namedCordons bounds how many cordons an error names.
const namedCordons = 3

// AllCordoned returns the error for a call that no runner gets because those that
// meet its placement are cordoned: the error names some of them.
func AllCordoned(cause error, cordons []*ruedov1.Cordon, placement *labels.Selector) *fault.Error {
	slices.SortFunc(cordons, func(a, b *ruedov1.Cordon) int { return cmp.Compare(a.GetRunner(), b.GetRunner()) })
	var named []string
	for _, c := range cordons[:min(len(cordons), namedCordons)] {
		named = append(named, c.GetRunner()+Of(c))
	}
	all, are := "all "+text.Count(len(cordons), "attached runner"), "are"
	if len(cordons) == 1 {
		all, are = "the only attached runner", "is"
	}
	if !placement.Empty() {
		are = fmt.Sprintf("with placement %s %s", placement, are)
	}
	return fault.Wrap(cause, fault.NoRunner, "%s %s cordoned: %s", all, are, text.List(named, len(cordons))).
		With("cordoned", cordons[0].GetRunner()).
		WithFix("uncordon a runner, or start another one that attaches to this core")
}
