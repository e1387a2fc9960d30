// Package middleware provides the layers around every Connect handler, and
// writes errors to callers.
//
// [Chain] gives each handler the same layers:
//
//	recover -> errors -> validate -> handler
//
// so that a panic is one failed call, every error has a reason, and no handler
// sees a request that violates its message's rules. Messages are not inflated
// beyond their limit. [WriteError] answers requests that never reach a handler,
// and those of plain HTTP.
package middleware
