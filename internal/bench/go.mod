// The benchmarks have a module of their own, so that the peers they measure
// against never become dependencies of Ruedo.
module github.com/ruedo-dev/ruedo/internal/bench

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/ruedo-dev/ruedo v0.0.0
)

replace github.com/ruedo-dev/ruedo => ../..
