// Package e2e holds the fault tests with real processes: an etcd built from
// tools/, ruedo servers, runners, signals. `make e2e` builds what they need and
// runs them. They have the build tag e2e, so that `make test` stays quick.
package e2e
