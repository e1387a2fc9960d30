// Package e2e holds the tests with real processes. Fault tests: an etcd built
// from tools/, ruedo servers, runners, signals; `make e2e` builds what they need
// and runs them. Walks: what operators type, word for word as the pages of docs
// have it, with the output that the pages show. And TestNewcomer, a first day with
// the docs alone; `make newcomer` runs it. They have the build tag e2e, so that
// `make test` stays quick.
package e2e
