package admission

import (
	"fmt"
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Refusal says why a schema is not accepted. It does not say which decorator
// has the schema.
type Refusal struct {
	// Reason is SCHEMA_INVALID, SCHEMA_REMOTE_REF or SCHEMA_LIMIT.
	Reason fault.Reason
	// Text follows "the input schema of decorator NAME ".
	Text string
	// Fix says what to do; it can be empty.
	Fix string
	// Fields name the parts of the schema that are wrong, if that is known.
	Fields []fault.Field
	// Limit is the limit that was exceeded and Actual is the actual value. Both
	// are empty unless Reason is SCHEMA_LIMIT.
	Limit, Actual string
	// Err is the cause, for logs.
	Err error
}

func (r *Refusal) Error() string { return r.Text }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// OverLimit returns the refusal of a schema that exceeds a limit.
func OverLimit(what string, limit, actual int) *Refusal {
	return &Refusal{
		Reason: fault.SchemaLimit,
		Text:   fmt.Sprintf("has %d %s; the limit is %d", actual, what, limit),
		Fix:    "make the schema simpler: split it over decorators, check less of the input, or let the service check it",
		Limit:  strconv.Itoa(limit), Actual: strconv.Itoa(actual),
	}
}

// Invalid returns the refusal of a schema that is within the limits but cannot
// be used. The text follows "the input schema of decorator NAME ".
func Invalid(format string, args ...any) *Refusal {
	return &Refusal{Reason: fault.SchemaInvalid, Text: fmt.Sprintf(format, args...)}
}
