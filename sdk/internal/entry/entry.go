// Package entry holds what answers the calls of a module. It lets sdk/web
// answer them without sdk importing net/http.
package entry

import "sync"

// In a module only the inits run before the host calls the exports, so there is
// no main that could pass a handler on.
var (
	mu     sync.Mutex
	holder string
	call   func() int32
)

// Caller is the key of who called, a string, in contexts of package web, which sdk reads.
type Caller struct{}

// Claim records that by, a function and the place that called it, registers the
// handler of this program. It returns who did so before, or "".
func Claim(by string) (before string) {
	mu.Lock()
	defer mu.Unlock()
	if holder == "" {
		holder = by
		return ""
	}
	return holder
}

// Answer sets the function that answers a call in place of sdk's own handler.
// Its result is that of the export ruedo_call.
func Answer(answer func() int32) {
	mu.Lock()
	defer mu.Unlock()
	call = answer
}

// Call returns the function given to Answer; nil if there is none.
func Call() func() int32 {
	mu.Lock()
	defer mu.Unlock()
	return call
}
