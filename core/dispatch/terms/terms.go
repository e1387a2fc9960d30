// Package terms says in words who cordoned a runner, until when and why. Errors,
// events and the health of the cluster use the same words.
package terms

import (
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
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
