//go:build !linux || !(amd64 || arm64)

package stack

// Stack is not available here: functions run on the runtime's stacks.
type Stack struct {
	size   int
	space  []byte
	top    uintptr
	bottom *byte
}

const ownStacks = false

func newStack(int) (*Stack, error) { return nil, nil }

// Trim does nothing.
func (s *Stack) Trim() {}

func (s *Stack) free() {}
