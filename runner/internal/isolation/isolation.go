// Package isolation translates between the isolations of plans and those of the
// sandbox.
package isolation

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// ToSandbox returns the isolation of a plan as the sandbox takes it.
func ToSandbox(i ruedov1.Isolation) sandbox.Isolation {
	switch i {
	case ruedov1.Isolation_ISOLATION_PRISTINE:
		return sandbox.Pristine
	case ruedov1.Isolation_ISOLATION_SHARED:
		return sandbox.Shared
	case ruedov1.Isolation_ISOLATION_FRESH:
		return sandbox.Fresh
	case ruedov1.Isolation_ISOLATION_COMMAND:
		return sandbox.PerCall
	}
	return ""
}

// FromSandbox is the reverse of [ToSandbox].
func FromSandbox(i sandbox.Isolation) ruedov1.Isolation {
	switch i {
	case sandbox.Pristine:
		return ruedov1.Isolation_ISOLATION_PRISTINE
	case sandbox.Shared:
		return ruedov1.Isolation_ISOLATION_SHARED
	case sandbox.Fresh:
		return ruedov1.Isolation_ISOLATION_FRESH
	case sandbox.PerCall:
		return ruedov1.Isolation_ISOLATION_COMMAND
	}
	return ruedov1.Isolation_ISOLATION_UNSPECIFIED
}
