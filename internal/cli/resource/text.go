package resource

import (
	"maps"
	"slices"
	"strings"
)

// pairs writes a map as "A=1 B=2".
func pairs(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, " ")
}
