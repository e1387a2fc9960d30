package schema

import (
	"errors"
	"fmt"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
	"github.com/ruedo-dev/ruedo/core/decorate/input"
)

// Refusal says why a schema is not accepted.
type Refusal = admission.Refusal

// InputError says what is wrong with an input, regardless of any schema.
type InputError = input.Error

// InputLimit says which limit the check of an input has reached. Then it is not
// known whether the input fits.
type InputLimit struct {
	// Text follows "the input of service NAME ".
	Text string
	// Fix says what to do.
	Fix   string
	Limit int
}

func (l *InputLimit) Error() string { return l.Text }

var (
	// errEnough ends a check that has found as many violations as an answer
	// names.
	errEnough = errors.New("enough violations")
	// errOverWork ends a check that costs more than maxWork.
	errOverWork = &InputLimit{
		Text:  fmt.Sprintf("would take more than %d units of work to check against its schema, which is the limit", maxWork),
		Fix:   "send less at a time, or make the schema simpler",
		Limit: maxWork,
	}
	// errTooDeep ends a check that nests deeper than maxFrames.
	errTooDeep = &InputLimit{
		Text:  fmt.Sprintf("nests too deep for its schema: checking it needs more than %d levels", maxFrames),
		Fix:   "send an input that nests less, or make the schema simpler",
		Limit: maxFrames,
	}
)
