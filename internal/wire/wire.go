// Package wire is what every Connect handler has around it, and how errors are
// written to callers.
//
// [Onion] gives each handler the same layers:
//
//	recover -> errors -> validate -> handler
//
// so that a panic is one failed call, every error leaves with a reason, and no
// handler sees a request that breaks its message's rules. Messages inflate to
// their bound and no further. [WriteError] answers requests that never reach a
// handler, and those of plain HTTP.
package wire
