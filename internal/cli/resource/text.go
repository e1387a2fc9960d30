package resource

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

// age writes how long ago t was; "" if t is not set.
func age(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return output.Age(time.Now(), t.AsTime())
}

// yes writes a cell that is true or not.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

// pairs writes a map as "A=1 B=2".
func pairs(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, " ")
}
