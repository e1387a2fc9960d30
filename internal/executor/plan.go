package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// PlanID returns the id of a plan: the SHA-256 of its deterministic encoding,
// 64 hexadecimal digits. Equal content has an equal id, so a plan in a runner's
// memory is never out of date.
func PlanID(plan *runnerv1.Plan) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(plan)
	if err != nil {
		return "", fmt.Errorf("encode plan of %s: %w", plan.GetService(), err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// VerifyPlan returns INTEGRITY unless id is the id of the plan, so that a plan
// that was changed on the way is not used under the id of another.
func VerifyPlan(id string, plan *runnerv1.Plan) error {
	got, err := PlanID(plan)
	if err != nil {
		return fault.Wrap(err, fault.Integrity, "the plan %.12q cannot be encoded, so its id cannot be verified", id)
	}
	if got != id {
		return fault.New(fault.Integrity, "the plan received as %.12q has the id %.12q: it is not the plan that was requested", id, got).
			WithFix("run the same version of ruedo on cores and runners, then publish the service again")
	}
	return nil
}
