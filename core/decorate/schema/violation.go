package schema

import "github.com/ruedo-dev/ruedo/internal/fault"

// Bounds of what an answer says about an input. Each text is cut before it is
// added, so that building an answer never costs more than its maximum length.
const (
	// maxFields bounds the violations that one answer names.
	maxFields = 64
	// maxFieldBytes bounds the total length of paths and descriptions.
	maxFieldBytes = 4 << 10
	// maxDescription bounds one description, and maxQuoted one text of a schema
	// that it quotes.
	maxDescription = 200
	maxQuoted      = 100
	// maxName bounds one name in a description, and maxLiteral one number.
	maxName    = 64
	maxLiteral = 24
)

// violations are the fields of an answer.
type violations struct {
	fields []fault.Field
	bytes  int
	// earlier is how many of them earlier schemas have added.
	earlier int
}

// add adds a field and reports whether there is room for more.
func (v *violations) add(f fault.Field) bool {
	size := len(f.Path) + len(f.Description)
	if v.bytes+size > maxFieldBytes {
		return false
	}
	v.bytes += size
	v.fields = append(v.fields, f)
	return len(v.fields) < maxFields
}
