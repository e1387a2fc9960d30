package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// shorten cuts a number.
func shorten(literal string) string { return fault.Cut(literal, maxLiteral) }

// number returns the text of a number of a schema.
func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// list returns the values of a choice, as many as fit.
func list(values []any) string {
	var b strings.Builder
	for i, v := range values {
		if b.Len() > maxQuoted {
			fmt.Fprintf(&b, "… (%d in all)", len(values))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(v))
	}
	return b.String()
}

// quote returns a value of a schema, cut.
func quote(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case string:
		b, err := json.Marshal(fault.Cut(v, maxName))
		if err != nil {
			return "a text"
		}
		return string(b)
	}
	return shorten(fmt.Sprint(v))
}
