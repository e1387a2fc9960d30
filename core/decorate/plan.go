package decorate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Plan makes what a runner needs to execute a revision under these rules, and
// its id: the SHA-256 of the plan's deterministic encoding, 64 hexadecimal
// digits. Equal content has an equal id, so a plan in a runner's memory is
// never out of date.
func (r *Rules) Plan(rev *ruedov1.Revision) (id string, plan *runnerv1.Plan, err error) {
	plan = &runnerv1.Plan{
		Service:     rev.GetService(),
		Revision:    rev.GetNumber(),
		Module:      rev.GetModule(),
		ModuleBytes: rev.GetModuleBytes(),
		Kind:        rev.GetKind(),
		Limits:      r.Limits,
		Env:         rev.GetEnv(),
		Args:        rev.GetArgs(),
		Example:     rev.GetExample(),
		Isolation:   rev.GetIsolation(),
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(plan)
	if err != nil {
		return "", nil, fmt.Errorf("encode plan of %s: %w", rev.GetService(), err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), plan, nil
}
