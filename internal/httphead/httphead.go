// Package httphead converts the heads of requests and answers between net/http and
// the guest contract, as package abi encodes them.
package httphead

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// Example returns the head of a request that is nobody's: one that a service is
// warmed up with.
func Example(method, path string, headers map[string]string) []byte {
	head := abi.AppendField(nil, abi.HeadMethod, cmp.Or(method, "GET"))
	head = abi.AppendField(head, abi.HeadPath, cmp.Or(path, "/"))
	head = abi.AppendField(head, abi.HeadAuthority, "example")
	head = abi.AppendField(head, abi.HeadScheme, "http")
	head = abi.AppendField(head, abi.HeadProto, "HTTP/2.0")
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		head = abi.AppendField(head, strings.ToLower(name), headers[name])
	}
	return head
}
